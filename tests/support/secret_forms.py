"""The forms of secrets as their vendors describe them: a category, then forms by `secret_examples.made_of`."""

FORMS = """
openai_key             | sk-proj-<n74>T3Blbk<n70> ; sk-svcacct-<w60> ; sk-admin-<w58>
sk_key                 | sk-<n48> ; sk-<h32>
anthropic_key          | sk-ant-api03-<w93>AA ; sk-ant-admin01-<w93>AA ; sk-ant-oat01-<w93>AA
openrouter_key         | sk-or-v1-<h64>
litellm_key            | sk-<n9>_A7<n12>
langfuse_key           | sk-lf-<uuid> ; pk-lf-<uuid>
helicone_key           | sk-helicone-<l7>-<l7>-<l7>-<l7>
huggingface_token      | hf_<c34> ; api_org_<c34>
replicate_token        | r8_<n37>
groq_key               | gsk_<n52>
xai_key                | xai-<n80>
perplexity_key         | pplx-<n48>
fireworks_key          | fw_<n22>
together_key           | tgp_v1_<w43>
cerebras_key           | csk-<l48>
nvidia_key             | nvapi-<w64>
elevenlabs_key         | sk_<h48>
cartesia_key           | sk_car_<n22>
pinecone_key           | pcsk_<n6>_<n63> ; @pinecone <uuid>
langsmith_key          | lsv2_pt_<h32>_<h10> ; lsv2_sk_<h32>_<h10> ; ls__<h32>
tavily_key             | tvly-<n32> ; tvly-dev-<n32>
firecrawl_key          | fc-<h32>
jina_key               | jina_<n40>_X4<w22>
voyage_key             | pa-<w14>R8<w27>
llamacloud_key         | llx-<n48>
e2b_key                | e2b_<h40> ; sk_e2b_<h40>
browserbase_key        | bb_live_<w27>
zhipu_key              | <h32>.<n16> ; @zhipu <h32>.<n16>
anyscale_key           | esecret_<l26> ; aph0_<n32>
nomic_key              | nk-<w14>R8<w27>
cursor_key             | key_<h64> ; crsr_<h64>
mem0_key               | m0-<n40>
dify_key               | app-<n24> ; dataset-<n24>
brave_key              | BSA<n28>
runpod_key             | rpa_<U43>
modal_token            | ak-<n22> ; as-<n22>
wandb_key              | wandb_v1_<n27>_<n50>
deepl_key              | <uuid>:fx
apify_token            | apify_api_<n36>
composio_key           | ak_<n8>A7<w10>
arize_key              | ak-<uuid>-<w32>
cohere_key             | @cohere <n40>
mistral_key            | @mistral <n32>
assemblyai_key         | @assemblyai <h32>
deepgram_key           | @deepgram <h40>
serpapi_key            | @serpapi <h64>
serper_key             | @serper <h40>
exa_key                | @exa_ai <uuid>
baseten_key            | @baseten <n8>.<n32>
clarifai_key           | @clarifai <h32>
comet_key              | @comet <n25>
privateai_key          | @private_ai <l32>
aws_access_key         | AKIA<U16> ; ASIA<U16> ; ABIA<U16> ; ACCA<U16> ; A3TX<U16>
aws_session_token      | IQoJb3JpZ2lu<b300>== ; FwoGZXIvYXdz<b200>=
aws_bedrock_key        | ABSK<b120>= ; bedrock-api-key-<b80>
aws_mws_token          | amzn.mws.<uuid>
amazon_oauth_token     | amzn1.oa2-cs.v1.<h64> ; Atzr|<w120>
aws_appsync_key        | da2-<l26>
aws_secret_key         | @aws <b40>
google_api_key         | AIza<w35> ; AQ.Ab8RN6<w44>
google_oauth_secret    | GOCSPX-<w28>
google_oauth_token     | ya29.<w120>
google_refresh_token   | 1//0<w60>
google_oauth_code      | 4/0A<w70>
google_hmac_key        | GOOG1E<U55> ; GOOG<U20>
firebase_server_key    | AAAA<w7>:<w140>
azure_client_secret    | <n3>8Q~<n34>
azure_key              | <n76>ACDb<n6>== ; <n76>+ASt<n6>== ; <n44>AzFu<n6>== ; <n76>AZDO<n4> ; @azure <h32>
azure_ai_key           | <n52>JQQJ99<n26>
azure_storage_key      | @azure_storage <b86>==
digitalocean_token     | dop_v1_<h64> ; doo_v1_<h64> ; dor_v1_<h64>
digitalocean_spaces_key| DO00<U16>
alibaba_access_key     | LTAI<n20>
alibaba_secret_key     | @alibaba <n30>
tencent_secret_id      | AKID<n32>
tencent_secret_key     | @tencent <n32>
yandex_key             | AQVN<w36> ; YCA<w36><n1> ; t1.<w60>.<w86>
yandex_oauth_token     | y0_<w55>
ibm_cloud_key          | @ibm <w44>
linode_token           | @linode <h64>
vultr_key              | @vultr <U36>
hetzner_token          | @hetzner <n64>
scaleway_key           | SCW<U17>
scaleway_secret        | @scaleway <uuid>
ovh_key                | @ovh <n32>
heroku_key             | HRKU-AA<w58> ; @heroku <uuid>
fly_token              | fo1_<w43> ; fm2_<b200>== ; FlyV1 <b60>,<b60>
render_key             | rnd_<n32>
railway_token          | @railway <uuid>
netlify_token          | nfp_<n36> ; @netlify <n43>
vercel_token           | vcp_<n56> ; @vercel <n24>
vercel_blob_token      | vercel_blob_rw_<n16>_<n32>
cloudflare_token       | cfut_<n48> ; @cloudflare <w40> ; @cloudflare <h37>
cloudflare_origin_key  | v1.0-<h24>-<h146>
fastly_token           | @fastly <w32>
akamai_token           | akab-<l16>-<l16>
deno_token             | ddp_<n36>
tailscale_key          | tskey-auth-<n17>-<n32>
defined_networking_key | dnkey-<U26>-<U52>
ngrok_token            | @ngrok 2<n26>_<n21>
scalingo_token         | tk-us-<w48>
backblaze_key          | K005<b27>
bunny_key              | @bunny <uuid>
meraki_key             | @meraki <h40>
oracle_key             | @oracle_cloud <n32>
openshift_token        | sha256~<w43>
docker_swarm_token     | SWMTKN-1-<l50>-<l25>
kubeadm_token          | kubeadm join --token [<l6>.<l16>]
rancher_token          | token-<l5>:<l54>
proxmox_token          | [PVEAPIToken=root@pam!ci=<uuid>]
portainer_token        | ptr_<b43>=
settlemint_token       | sm_aat_<n16> ; sm_pat_<n16> ; sm_sat_<n16>
github_token           | ghp_<n36> ; gho_<n36> ; ghu_<n36> ; ghs_<n36>
                       | ghr_<n76> ; github_pat_<n22>_<n59> ; @github <h40>
gitlab_token           | glpat-<w20> ; glpat-<w27>.01.<l9> ; gldt-<w20> ; glrt-<w20> ; glcbt-<n2>_<w20>
                       | glptt-<h40> ; glagent-<w50> ; glsoat-<w20> ; gloas-<h64> ; GR1348941<w20>
gitlab_session         | _gitlab_session=[<h32>]
bitbucket_token        | ATBB<n32> ; BBDC-<b44> ; ATCTT3xFfG<w170>
bitbucket_key          | @bitbucket <l32>
atlassian_token        | ATATT3xFfGF0<w170> ; ATSTT3xFfGF0<w170> ; @atlassian <n24>
trello_key             | @trello <h32> ; @trello <h64>
gitea_token            | @gitea <h40>
gitter_token           | @gitter <h40>
npm_token              | npm_<n36> ; //npm.example/:_authToken=[<uuid>]
pypi_token             | pypi-AgEIcHlwaS5vcmc<w120>
rubygems_key           | rubygems_<h48>
nuget_key              | oy2<l43>
cargo_token            | cio<n32>
docker_token           | dckr_pat_<w27> ; dckr_oat_<w32>
clojars_token          | CLOJARS_<h60>
packagist_token        | packagist_uut_<h60>
jfrog_token            | AKCp<n69> ; cmVmd<n59> ; @artifactory <n73>
circleci_token         | CCIPAT_<n22>_<h40> ; CCIPRJ_<n22>_<l40> ; @circleci <h40>
buildkite_token        | bkua_<h40>
travis_token           | @travis <n22>
drone_token            | @drone <n32>
appveyor_token         | v2.<l20> ; @appveyor <l20>
sourcegraph_token      | sgp_<h40> ; sgp_<h16>_<h40> ; sgp_local_<h40> ; @sourcegraph <h40>
sonar_token            | squ_<h40> ; sqp_<h40> ; sqa_<h40> ; @sonar <h40>
snyk_token             | snyk_uat.<h8>.<w120> ; @snyk <uuid>
codecov_token          | @codecov <uuid>
coveralls_token        | @coveralls <n32>
codacy_token           | @codacy <n20>
postman_key            | PMAK-<h24>-<h34> ; PMAT-<U26>
linear_key             | lin_api_<n40> ; lin_oauth_<h64>
linear_secret          | @linear <h32>
notion_token           | ntn_<d11><n35> ; secret_<n43>
asana_token            | 1/<d16>:<h32> ; 2/<d16>/<d16>:<h32>
asana_secret           | @asana <h32>
figma_token            | figd_<w40>
clickup_token          | pk_<d8>_<U32>
shortcut_token         | @shortcut <uuid>
prefect_key            | pnu_<n36> ; pnb_<n36>
dbt_token              | dbtc_<w40> ; dbtu_<w40>
jetbrains_token        | perm:<n12>==.<n12>=.<n32>
readme_key             | rdme_<l70>
octopus_key            | API-<U26>
harness_key            | pat.<w22>.<h24>.<n20> ; sat.<w22>.<h24>.<n20>
pulumi_token           | pul-<h40>
terraform_token        | <n14>.atlasv1.<n67>
infracost_key          | ico-<n32>
socket_token           | sktsec_<w43>_api
semgrep_token          | @semgrep <h64>
express_session        | Cookie: connect.sid=[s%3A<w32>.<n43>]
retool_token           | retool_01<l30>
chromatic_token        | chpt_<h14>
expo_token             | expo_<w10>K3<w28>
sidekiq_key            | BUNDLE_GEMS__CONTRIBSYS__COM="[<h8>:<h8>]" ; https://[<h8>:<h8>]@gems.contribsys.com/
nuget_password         | <add key="ClearTextPassword" value="[<n16>]" />
supabase_key           | sbp_<l40> ; sb_secret_<w31>
planetscale_token      | pscale_tkn_<w43> ; pscale_oauth_<w43> ; pscale_pw_<w43>
neon_key               | napi_<l64>
neon_password          | npg_<n12>
databricks_token       | dapi<h32> ; dapi<h32>-2 ; dose<h32>
mongodb_atlas_secret   | mdb_sa_sk_<w40>
mongodb_atlas_key      | @mongodb <uuid>
confluent_key          | cflt<b60> ; @confluent <n64>
aiven_token            | AIVENV1-<b100> ; aivenv1 <b100>
aiven_password         | AVNS_<w19>
tigris_secret_key      | tsec_<w59>
clickhouse_cloud_key   | 4b1d<n38>
elastic_key            | essu_<b80> ; @elastic <n60>==
cockroachdb_key        | CCDB1_<n22>_<n40>
fauna_secret           | fnAE<w36>
airtable_token         | pat<n14>.<h64>
airtable_key           | @airtable <n17>
xata_key               | xau_<n32>
influxdb_token         | @influx <w86>==
upstash_token          | @upstash <n56>
snowflake_token        | @snowflake <n60>
weaviate_key           | @weaviate <n36>
qdrant_key             | @qdrant <w54>
chroma_key             | ck-<n44>
convex_key             | prod:happy-otter-123|<n60>==
redis_cloud_key        | @redis A<l44>
vault_token            | hvs.<w95> ; hvb.<w150> ; hvr.<w95> ; @vault s.<n24>
doppler_token          | dp.pt.<n43> ; dp.st.prd.<n43>
infisical_token        | st.<h24>.<h32>.<h32>
onepassword_token      | ops_eyJ<n260>
onepassword_secret_key | A3-<U6>-<U6>-<U5>-<U5>-<U5>-<U5> ; A3-<U6>-<U11>-<U5>-<U5>-<U5>
bitwarden_token        | 0.<uuid>.<n30>:<b22>==
age_key                | AGE-SECRET-KEY-1<U58>
looker_key             | @looker <l24>
fivetran_key           | @fivetran <n32>
secret_token_uri       | secret-token:<n32>
algolia_key            | @algolia <h32>
contentful_token       | CFPAT-<w43> ; @contentful <w43>
sanity_token           | sk<n176>
storyblok_token        | @storyblok <n22>tt
cloudinary_url         | cloudinary://[<d15>:<w27>]@shop
cloudinary_secret      | @cloudinary <w27>
tinybird_token         | p.eyJ<n60>.<w43>
flagsmith_key          | @flagsmith ser.<n22>
meilisearch_key        | @meili <h64>
typesense_key          | @typesense <n32>
zilliz_key             | @zilliz <h72>
slack_token            | xoxb-<d12>-<d13>-<n24> ; xoxp-<d12>-<d12>-<d12>-<h32> ; xoxa-2-<n40>
                       | xoxs-<d12>-<d12>-<d12>-<h32> ; xoxe-1-<n146> ; xoxe.xoxp-1-<n163>
                       | xapp-1-A<U10>-<d13>-<h64>
slack_webhook          | https://hooks.slack.com/[services/T<U10>/B<U10>/<n24>]
discord_token          | M<c23>.<w6>.<w38> ; O<n25>.<w6>.<w27>
discord_webhook        | https://discord.com/api/webhooks/[<d18>/<w68>]
discord_secret         | @discord <w32>
telegram_token         | <d10>:AA<w33>
teams_webhook          | https://outlook.office.com/[webhook/<uuid>@<uuid>/IncomingWebhook/<h32>/<uuid>]
teams_webhook          | https://acme.webhook.office.com/[webhookb2/<uuid>@<uuid>/IncomingWebhook/<h32>/<uuid>]
mattermost_token       | @mattermost <l26>
twilio_key             | SK<h32>
twilio_token           | @twilio <h32>
sendgrid_key           | SG.<w22>.<w43>
mailgun_key            | key-<h32> ; <h32>-<h8>-<h8>
mailchimp_key          | <h32>-us12
mandrill_key           | md-<n8>K3<n12>
brevo_key              | xkeysib-<h64>-<n16> ; xsmtpsib-<h64>-<n16>
resend_key             | re_<n8>_<n24>
postmark_token         | @postmark <uuid>
sparkpost_key          | @sparkpost <h40>
mailersend_key         | mlsn.<h64>
mailjet_key            | @mailjet <h32>
klaviyo_key            | pk_<l34>
beamer_key             | @beamer b_<w44>
messagebird_key        | @messagebird <n25>
telnyx_key             | KEY<H32>_<n22>
vonage_secret          | @vonage <n16>
plivo_token            | @plivo <n40>
line_token             | @line_channel <b170>=
onesignal_key          | os_v2_app_<l103> ; @onesignal <n48>
courier_key            | pk_prod_<U28>
sendbird_token         | @sendbird <h40>
agora_key              | @agora <h32>
pusher_key             | @pusher <h20>
ably_key               | <w6>.<w6>:<w43>
livekit_secret         | @livekit <n43>
daily_key              | @daily <h64>
zoom_secret            | @zoom <n32>
facebook_token         | EAAG<n160>
facebook_app_token     | <d15>|<w27>
facebook_secret        | @facebook <h32>
instagram_token        | IGQVJ<w130>
twitter_bearer_token   | AAAAAAAAAAAAAAAAAAAAAA<n86>
twitter_access_token   | <d19>-<n40>
twitter_key            | @twitter <n25> ; @twitter <n50>
linkedin_secret        | WPL_AP1.<n16>.<n6>== ; @linkedin <n16>
twitch_token           | oauth:<l30> ; @twitch <l30>
nylas_key              | nyk_v0_<n64>
reddit_secret          | @reddit <w27>
spotify_secret         | @spotify <h32>
flickr_key             | @flickr <h32>
datadog_key            | ddapp_<n34> ; @datadog <h32> ; @datadog <h40>
newrelic_key           | NRAK-<U27> ; NRII-<w32> ; NRJS-<h19> ; <h36>NRAL ; @newrelic <n64>
grafana_token          | glc_eyJ<n120>= ; glsa_<n32>_<h8> ; eyJrIjoi<n80>
sentry_token           | sntrys_eyJ<n150>_<n43> ; sntryu_<h64> ; @sentry <h64>
sentry_dsn             | https://[<h32>]@o42.ingest.sentry.io/4507
honeycomb_key          | hcaik_<l58> ; @honeycomb <n22>
dynatrace_token        | dt0c01.<U24>.<U64>
sumologic_key          | @sumo_logic <n64>
splunk_token           | @splunk <uuid> ; Authorization: Splunk [<uuid>]
pagerduty_key          | u+<w17><n1> ; @pagerduty <n20>
opsgenie_key           | @opsgenie <uuid>
rollbar_token          | @rollbar <h32>
bugsnag_key            | @bugsnag <h32>
logzio_token           | @logz <n32>
loggly_token           | @loggly <uuid>
betterstack_token      | @betterstack <n24>
axiom_token            | xaat-<uuid> ; xapt-<uuid>
lightstep_token        | @lightstep <n84>
logfire_token          | pylf_v1_eu_<n43>
checkly_key            | cu_<h32>
uptimerobot_key        | u<d7>-<h24>
coralogix_key          | cxtp_<n30>
dash0_token            | auth_<n32>
posthog_key            | phc_<n43> ; phx_<n43>
segment_token          | sgp_<n64>
segment_key            | @segment_write <n32>
amplitude_key          | @amplitude <h32>
mixpanel_token         | @mixpanel <h32>
launchdarkly_key       | sdk-<uuid> ; api-<uuid> ; @launchdarkly <w40>
statsig_key            | secret-<n43>
unleash_token          | default:development.<h56>
airbrake_key           | @airbrake <h32>
appsignal_key          | @appsignal <uuid>
statuspage_key         | @statuspage <uuid>
pingdom_token          | @pingdom <w64>
incident_key           | inc_live_<h64>
instana_token          | @instana <n22>
scout_key              | @scout_apm <n20>
stripe_key             | sk_live_<n24> ; sk_test_<n99> ; rk_live_<n24>
svix_key              | testsk_<w32>.us ; testsk_<n32>
stripe_webhook_secret  | whsec_<n32>
square_token           | EAAA<w60> ; sq0atp-<w22> ; sq0csp-<w43>
paypal_token           | access_token$production$<l16>$<h32>
paypal_secret          | @paypal E<w79>
braintree_key          | @braintree <h32>
adyen_key              | AQE<n60>-<n44>=-<n12>
plaid_token            | access-sandbox-<uuid> ; access-production-<uuid>
plaid_secret           | @plaid <h30>
shopify_token          | shpat_<h32> ; shpca_<h32> ; shppa_<h32> ; shpss_<h32>
shippo_token           | shippo_live_<h40> ; shippo_test_<h40>
easypost_key           | EZAK<n54> ; EZTK<n54>
lob_key                | live_<h35> ; test_<h35> ; live_pub_<h31>
gocardless_token       | live_<n12>R8<w26> ; @gocardless live_<w40>
mollie_key             | live_<n30> ; test_<n8>7cR2<n18>
flutterwave_key        | FLWSECK_TEST-<h32>-X ; FLWPUBK_TEST-<h32>-X
razorpay_key           | rzp_live_<n14>
razorpay_secret        | @razorpay <n24>
paddle_key             | pdl_live_apikey_<l26>_<n22>_<n3>
xendit_key             | xnd_production_<n48>
midtrans_key           | Mid-server-<w24>
omise_key              | skey_test_<l19>
mercadopago_token      | APP_USR-<d16>-<d6>-<h32>-<d9>
duffel_token           | duffel_live_<w43>
brex_token             | bxt_<n40>
ramp_token             | ramp_sec_<n48>
mercury_token          | secret-token:mercury_production_<w40>
wise_token             | @transferwise <uuid>
etsy_key               | @etsy <l24>
finicity_key           | @finicity <h32>
finnhub_key            | @finnhub <l20>
coinbase_key           | @coinbase <w64>
kraken_key             | @kraken <b86>==
kucoin_key             | @kucoin <uuid> ; @kucoin <h24>
binance_key            | @binance <n64>
bittrex_key            | @bittrex <h32>
bybit_key              | @bybit <n36>
okx_key                | @okx <uuid>
infura_key             | https://mainnet.infura.io/v3/[<h32>] ; @infura <h32>
alchemy_key            | https://eth-mainnet.g.alchemy.com/v2/[<w32>] ; @alchemy <n32>
etherscan_key          | @etherscan <U34>
alphavantage_key       | @alphavantage <U16>
polygon_key            | @polygon <n32>
alpaca_key             | PK<U18> ; AK<U18>
recurly_key            | @recurly <h32>
freshbooks_token       | @freshbooks <h64>
freemius_key           | "secret_key" => "[sk_<n10>%(<n16>]"
squarespace_key        | @squarespace <uuid>
taxjar_key             | @taxjar <h32>
exchangerate_key       | @exchangerate <h24>
okta_token             | @okta 00<w40> ; Authorization: SSWS [00<w40>]
auth0_secret           | @auth0 <w64>
authress_key           | sc_<l20>.<l4>.acc_<l16>.<n60>
stytch_secret          | secret-live-<w36>=
workos_key             | sk_<n70>
ory_token              | ory_at_<w43>.<w43> ; ory_pat_<n32>
jumpcloud_key          | jca_<n36> ; @jumpcloud <h40>
onelogin_secret        | @onelogin <h64>
hubspot_token          | pat-na1-<uuid>
hubspot_key            | @hubspot <uuid>
salesforce_token       | 00D<n12>!<n92> ; 5Aep861<n70>
salesforce_consumer_key| 3MVG9<n80>
zendesk_token          | @zendesk <n40>
freshdesk_key          | @freshdesk <n20>
intercom_token         | dG9rO<n60>= ; @intercom <b60>
pipedrive_token        | @pipedrive <h40>
typeform_token         | tfp_<w44>_<w14>
cal_key                | cal_live_<h32>
calendly_token         | @calendly <n64>
zapier_webhook         | https://hooks.zapier.com/[hooks/catch/<d7>/<l7>]
make_webhook           | https://hook.eu2.make.com/[<l32>]
ifttt_key              | https://maker.ifttt.com/trigger/door/with/key/[<w22>]
adobe_secret           | p8e-<w32>
adobe_key              | @adobe <h32>
dropbox_token          | sl.<w135> ; Q<n9>xAAAAAAAAAAm<w42>
dropbox_secret         | @dropbox <l15>
box_token              | @box_client <n32>
frameio_token          | fio-u-<w64>
mapbox_token           | pk.eyJ<n60>.<w22> ; sk.eyJ<n60>.<w22>
maxmind_key            | <n6>_<n29>_mmk ; @maxmind <n16>
here_key               | @here_maps <w43>
openweather_key        | @openweather <h32> ; https://api.openweathermap.org/data/2.5/weather?q=Rome&appid=[<h32>]
rapidapi_key           | <l10>msh<l15>p1<l6>jsn<l12> ; @rapidapi <l50>
nytimes_key            | @nytimes <n32>
newsapi_key            | @newsapi <h32>
clearbit_key           | sk_<h32> ; @clearbit <h32>
hunter_key             | @hunter <h40>
scrapingbee_key        | @scrapingbee <U80>
shodan_key             | @shodan <n32>
virustotal_key         | @virustotal <h64>
securitytrails_key     | @securitytrails <n32>
abuseipdb_key          | @abuseipdb <h80>
greynoise_key          | @greynoise <n64>
crowdstrike_secret     | @crowdstrike <n40>
wiz_secret             | @wiz_client <n64>
tenable_key            | @tenable <h64>
duo_secret             | @duo <n40>
intra42_secret         | s-s4t2ud-<h64> ; s-s4t2af-<h64>
lichess_token          | lip_<n20>
adafruit_key           | aio_<n28> ; @adafruit <w32>
sumup_key              | sup_sk_<n32>
revenuecat_key         | sk_K<n27> ; appl_M<n27>
ubidots_token          | BBFF-<n30>
localization_token     | @lokalise <h40>
workspace_token        | @smartsheet <n37>
docusign_key           | @docusign <uuid>
bamboohr_key           | @bamboohr <h40>
surveymonkey_token     | @surveymonkey <n80>
tmdb_key               | @tmdb <h32>
giphy_key              | @giphy <n32>
unsplash_key           | @unsplash <w43>
ipinfo_token           | @ipinfo <h14>
recaptcha_secret       | 6Lc<w5>AAAAA<w27> ; @recaptcha 6L<w38>
strava_secret          | @strava <h40>
openvsx_token          | ovsxat_<uuid>
jwt                    | ZXlK<b120>==
openai_session_key     | sess-<n40>
humanloop_key          | hl_sk_<h48>
promptlayer_key        | pl_<h32>
traceloop_key          | tl_<h64>
letta_key              | sk-let-<b80>==
turbopuffer_key        | tpuf_<n32>
daytona_key            | dtn_<h64>
hyperbrowser_key       | hb_<h28>
steel_key              | ste-<n70>
factory_key            | fk-<w60>
devin_key              | apk_user_<n70>== ; cog_<l52>
arcade_key             | arc_<n50>
trigger_key            | tr_prod_<n20> ; tr_pat_<l40>
inngest_key            | signkey-prod-<h64>
netbird_token          | nbp_<n36>
huawei_secret_key      | HUAWEICLOUD_SDK_SK=[<n40>]
depot_token            | depot_project_<h64> ; depot_org_<h64>
deepsource_token       | dsp_<h40>
percy_token            | web_<h64> ; app_<h64>
cypress_key            | @cypress <uuid>
liveblocks_key         | sk_prod_<w60> ; sk_dev_<w60>
matrix_token           | syt_<n12>_<n20>_<n6>
flagsmith_server_key   | ser.<c4><d1><c5><d1><n11>
growthbook_key         | secret_user_<n40> ; secret_admin_<n40>
rootly_token           | rootly_<h64>
polar_token            | polar_oat_<n43>
extended_private_key   | xprv9s21ZrQH143K<n95>
close_key              | api_<n22>.<n22>
novita_key             | sk_<w8>R8<w33>
docker_swarm_key       | SWMKEY-1-<b43>
zoho_token             | 1000.<h32>.<h32>
teamwork_token         | tkn.v1_<b75>=
voiceflow_key          | VF.DM.<h24>.<n16>
dependencytrack_key    | odt_<n32> ; odt_<n8>_<n32>
endor_key              | endr+<w16>
gcnotify_key           | gcntfy-my_key-<uuid>-<uuid>
asaas_key              | $aact_prod_<n60>
"""
