"""Secrets as their vendors' pages show them, written apart from the table of shapes: they say how it does with others.

Each line: a name, what their pages show (as `secret_examples.made_of` reads it; brackets hold what is secret). A form
that begins with `=` has no beginning of its own: it stands behind the variable that its vendor's page gives it.
"""

# ruff: noqa: E501 - a form is one line
FURTHER_FORMS = """
anthropic       | sk-ant-api03-<w93>AA ; sk-ant-admin01-<w93>AA ; sk-ant-oat01-<w93>AA ; sk-ant-sid01-<w93>AA
openai          | sk-proj-<w74>T3BlbkFJ<w74> ; sk-<n20>T3BlbkFJ<n20> ; sk-svcacct-<w120> ; sess-<n40>
google ai       | AIzaSy<w33> ; ya29.a0A<w160> ; GOCSPX-<w28> ; 1//0<w98>
openrouter      | sk-or-v1-<h64>
xai             | xai-<n80>
groq            | gsk_<n52>
mistral         | =MISTRAL_API_KEY <n32>
cohere          | =CO_API_KEY <n40> ; =COHERE_API_KEY <n40>
ai21            | =AI21_API_KEY <uuid>
deepinfra       | =DEEPINFRA_API_KEY <n32>
sambanova       | =SAMBANOVA_API_KEY <uuid>
novita          | sk_<w43>
humanloop       | hl_sk_<h48>
promptlayer     | pl_<h32>
traceloop       | tl_<h64>
agentops        | =AGENTOPS_API_KEY <uuid>
braintrust      | sk-<n48>
portkey         | =PORTKEY_API_KEY <b28>
letta           | sk-let-<b80>==
turbopuffer     | tpuf_<n32>
chroma          | ck-<n44>
daytona         | dtn_<h64>
hyperbrowser    | hb_<h28>
steel           | ste-<n70>
factory         | fk-<w60>
devin           | apk_user_<n70>== ; cog_<l52>
arcade          | arc_<n50>
linkup          | =LINKUP_API_KEY <uuid>
tavily          | tvly-dev-<n32>
serper          | =SERPER_API_KEY <h40>
firecrawl       | fc-<h32>
huggingface     | hf_<c34>
replicate       | r8_<n37>
pinecone        | pcsk_<n6>_<n63>
llamacloud      | llx-<n48>
wandb           | =WANDB_API_KEY <h40>
langsmith       | lsv2_pt_<h32>_<h10>
langfuse        | sk-lf-<uuid>
aws             | =AWS_SECRET_ACCESS_KEY <b40> ; =aws_secret_access_key <b40> ; AKIA<U16> ; ASIA<U16> ; ABSKQmVkcm9ja0FQSUtleS<b100>=
azure           | DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=[<b86>==];EndpointSuffix=core.windows.net ; Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=[<b43>=] ; <n3>8Q~<w34>
azure openai    | =AZURE_OPENAI_API_KEY <h32> ; =AZURE_OPENAI_API_KEY <n84>
gcp             | GOOG1E<U57> ; "private_key_id": "<h40>", "private_key": "[-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC<b64>\\n<b64>\\n<b64>\\n-----END PRIVATE KEY-----\\n]"
alibaba         | LTAI5t<n18> ; =ALIBABA_CLOUD_ACCESS_KEY_SECRET <n30>
tencent         | AKID<n32> ; =TENCENTCLOUD_SECRET_KEY <n32>
volcengine      | =VOLC_SECRETKEY <b58>==
huawei          | =HUAWEICLOUD_SDK_SK <n40>
oracle          | =OCI_CLI_PASSPHRASE <n18>
ibm             | =IBMCLOUD_API_KEY <w44>
digitalocean    | dop_v1_<h64> ; doo_v1_<h64>
cloudflare      | =CLOUDFLARE_API_TOKEN <w40> ; =CF_API_KEY <h37>
fly             | FlyV1 [fm2_<b300>] ; fo1_<w43>
vercel          | =VERCEL_TOKEN <n24> ; vcp_<n56> ; vck_<n56>
netlify         | nfp_<n36>
render          | rnd_<n32>
railway         | =RAILWAY_TOKEN <uuid>
heroku          | HRKU-<uuid> ; =HEROKU_API_KEY <uuid>
supabase        | sbp_<h40> ; sb_secret_<w31>
neon            | napi_<l64>
planetscale     | pscale_tkn_<w43> ; pscale_pw_<w43>
upstash         | =UPSTASH_REDIS_REST_TOKEN A<n58>==
mongodb         | mongodb+srv://app:[<n16>]@cluster0.ab1cd.mongodb.net/?retryWrites=true
redis           | rediss://default:[<n32>]@eu1-fit-1.upstash.io:6379
snowflake       | =SNOWFLAKE_PASSWORD <n9>!<n5>
databricks      | dapi<h32> ; dkea<h32>
confluent       | =CONFLUENT_CLOUD_API_SECRET <b64> ; cflt<b60>
clickhouse      | =CLICKHOUSE_CLOUD_API_SECRET <n37> ; =CLICKHOUSE_PASSWORD <n12>~<n2>
github          | ghp_<n36> ; gho_<n36> ; ghs_<n36> ; github_pat_<n22>_<n59>
gitlab          | glpat-<w20> ; glpat-<w27>.01.<l9> ; gldt-<w20> ; glrt-<w20> ; glcbt-<h2>_<w20> ; glft-<w20> ; glimt-<w25>
bitbucket       | ATBB<n24><H8> ; ATCTT3xFfGN0<w150>=<H8>
atlassian       | ATATT3xFfGF0<w160>=<H8>
circleci        | CCIPAT_<n22>_<h40> ; =CIRCLECI_TOKEN <h40>
buildkite       | bkua_<h40>
travis          | =TRAVIS_API_TOKEN <n22>
codecov         | =CODECOV_TOKEN <uuid>
sonar           | sqp_<h40> ; squ_<h40>
snyk            | =SNYK_TOKEN <uuid>
depot           | depot_project_<h64> ; depot_org_<h64>
deepsource      | dsp_<h40>
percy           | web_<h64>
browserstack    | =BROWSERSTACK_ACCESS_KEY <n20>
cypress         | =CYPRESS_RECORD_KEY <uuid>
saucelabs       | =SAUCE_ACCESS_KEY <uuid>
npm             | npm_<n36> ; //packages.example.org/:_authToken=[npm_<n36>]
pypi            | pypi-AgEIcHlwaS5vcmc<w150>
docker          | dckr_pat_<w27> ; dckr_oat_<w32>
nuget           | oy2<l43>
terraform       | <n14>.atlasv1.<n67>
pulumi          | pul-<h40>
vault           | hvs.CAES<w90> ; =VAULT_TOKEN s.<n24>
doppler         | dp.st.prd.<n43> ; dp.pt.<n43> ; dp.ct.<n43>
infisical       | st.<h8>-<h4>-<h4>-<h4>-<h12>.<h32>.<h32>
onepassword     | ops_eyJ<n300>
bitwarden       | =BWS_ACCESS_TOKEN 0.<uuid>.<n30>:<b22>==
age             | AGE-SECRET-KEY-1<U58>
tailscale       | tskey-auth-<n12>CNTRL-<n32> ; tskey-api-<n12>CNTRL-<n32>
netbird         | nbp_<n36>
ngrok           | =NGROK_AUTHTOKEN 2<n26>_<n21>
inngest         | signkey-prod-<h64>
trigger         | tr_prod_<n20> ; tr_dev_<n20> ; tr_pat_<l40>
liveblocks      | sk_prod_<w60>
clerk           | sk_live_<n42> ; sk_test_<n42>
stripe          | sk_live_51<n97> ; rk_live_51<n97> ; whsec_<n32>
paddle          | pdl_live_apikey_<l26>_<n22>_<n3>
polar           | polar_oat_<n43>
paystack        | sk_live_<h40>
square          | EAAA<w60> ; sq0csp-<w43>
adyen           | AQE<l1>hm<b90>-<b43>=-<w16>
braintree       | =BRAINTREE_PRIVATE_KEY <h32>
paypal          | =PAYPAL_CLIENT_SECRET E<w79>
razorpay        | =RAZORPAY_KEY_SECRET <n24>
mollie          | live_<n30>
chargebee       | live_<n32>
shopify         | shpat_<h32>
slack           | xoxb-<d12>-<d13>-<n24> ; xapp-1-A<U10>-<d13>-<h64> ; xoxp-<d12>-<d12>-<d13>-<h32> ; https://hooks.slack.com/services/[T<U10>/B<U10>/<n24>]
discord         | MT<n24>.G<n5>.<w38> ; https://discord.com/api/webhooks/<d19>/[<w68>]
telegram        | <d10>:AA<w33>
matrix          | syt_<n12>_<n20>_<n6>
teams           | https://acme.webhook.office.com/webhookb2/[<uuid>@<uuid>/IncomingWebhook/<h32>/<uuid>]
google chat     | https://chat.googleapis.com/v1/spaces/AAA/messages?key=AIza<w35>&token=[<w43>]
line            | =LINE_CHANNEL_SECRET <h32>
twilio          | =TWILIO_AUTH_TOKEN <h32> ; SK<h32>
sendgrid        | SG.<w22>.<w43>
mailgun         | key-<h32> ; <h32>-<h8>-<h8>
mailchimp       | <h32>-us12
mailersend      | mlsn.<h64>
brevo           | xkeysib-<h64>-<n16>
postmark        | =POSTMARK_SERVER_TOKEN <uuid>
resend          | re_<n8>_<n24>
datadog         | =DD_API_KEY <h32> ; =DD_APP_KEY <h40> ; =DATADOG_API_KEY <h32>
newrelic        | NRAK-<U27> ; =NEW_RELIC_LICENSE_KEY <h36>NRAL
grafana         | glsa_<n32>_<h8> ; glc_eyJ<n120>==
sentry          | sntrys_eyJ<n150>_<b43> ; sntryu_<h64>
honeycomb       | =HONEYCOMB_API_KEY <n22> ; hcaik_01<l56>
axiom           | xaat-<uuid> ; xapt-<uuid>
dynatrace       | dt0c01.<U24>.<U64>
splunk          | =SPLUNK_HEC_TOKEN <uuid>
elastic         | =ELASTIC_API_KEY <n60>==
posthog         | phx_<n43> ; phs_<n43>
launchdarkly    | sdk-<uuid> ; api-<uuid>
flagsmith       | ser.<n22>
growthbook      | secret_user_<n40> ; =GROWTHBOOK_CLIENT_KEY sdk-<n15>
pagerduty       | =PAGERDUTY_TOKEN <n20>
rootly          | rootly_<h64>
okta            | =OKTA_API_TOKEN 00<w40> ; =OKTA_CLIENT_SECRET <w64>
auth0           | =AUTH0_CLIENT_SECRET <w64>
keycloak        | =KEYCLOAK_CLIENT_SECRET <n32>
hubspot         | pat-na1-<uuid>
salesforce      | 00D<n12>!AQ<n90>
notion          | ntn_<d11><n35> ; secret_<n43>
linear          | lin_api_<n40> ; lin_oauth_<h64>
airtable        | pat<n14>.<h64>
asana           | 2/<d16>/<d16>:<h32>
clickup         | pk_<d8>_<U32>
figma           | figd_<w40>
typeform        | tfp_<n44>_<n14>
contentful      | CFPAT-<w43>
close           | api_<n22>.<n22>
klaviyo         | pk_<h34>
braze           | =BRAZE_API_KEY <uuid>
dropbox         | sl.u.<w135>
mapbox          | sk.eyJ1Ijoi<n60>.<w22>
algolia         | =ALGOLIA_ADMIN_KEY <h32>
virustotal      | =VT_API_KEY <h64>
shodan          | =SHODAN_API_KEY <n32>
cloudinary      | cloudinary://<d15>:[<w27>]@acme
etherscan       | =ETHERSCAN_API_KEY <U34>
infura          | =INFURA_API_KEY_SECRET <n54>
ethereum        | =PRIVATE_KEY 0x<h64> ; =DEPLOYER_PRIVATE_KEY <h64>
bitcoin         | xprv9s21ZrQH143K<n95>
coinbase        | =CDP_API_KEY_SECRET <b86>==
laravel         | =APP_KEY base64:<b43>=
rails           | =RAILS_MASTER_KEY <h32> ; =SECRET_KEY_BASE <h128>
django          | =SECRET_KEY django-insecure-<l50>
wordpress       | define('AUTH_KEY', '[<n30>%<n10>|<n20>]');
wireguard       | =PrivateKey <b43>=
ansible         | =ansible_become_pass <n10>$<n4>
kubeconfig      | =client-key-data LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQ<b200>==
docker config   | "auth": "[<b40>==]"
jwt             | eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ<n80>.<w43>
nextauth        | =NEXTAUTH_SECRET <b43>=
smtp            | =SMTP_PASSWORD <n6>#<n7> ; =EMAIL_HOST_PASSWORD <a4> <a4> <a4> <a4>
postgres        | postgresql://app:[<n18>]@db.internal:5432/app ; =PGPASSWORD <n14>
"""
