// A second checker of bundles, in another language: it follows docs/proof.md and shares no line with check.py. That the page
// alone is enough was tried by a third one, in Go, whose author had seen neither; what it told apart is now a rule of the page.
//
// node check_bundle.mjs FINGERPRINT|- : on standard input come bundles, each after its length (4 bytes, big-endian);
// for each a line is written: the exit code that it deserves, and why.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";

class Wrong extends Error {}
const need = (holds, what) => {
  if (!holds) throw new Wrong(what);
};
const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const text = (raw) => {
  try {
    return utf8.decode(raw);
  } catch {
    throw new Wrong("not UTF-8");
  }
};
const base64 = (given, size) => {
  need(typeof given === "string", "not a text");
  const raw = Buffer.from(given, "base64");
  need(raw.toString("base64") === given, "not the one base64");
  need(size === undefined || raw.length === size, "of another length");
  return raw;
};
const number = (given) => {
  need(/^(0|[1-9][0-9]{0,18})$/.test(given) && BigInt(given) < 1n << 63n, "not a number");
  return BigInt(given);
};
const before = (a, b) => Buffer.compare(a, b) < 0;
// JSON.parse makes 7 of `7.0` too: the page allows the one text that a whole number has. Above 2^53 it is a BigInt.
const wholeOf = (value, source) =>
  /^(0|[1-9][0-9]*)$/.test(source) ? (Number.isSafeInteger(value) ? value : BigInt(source)) : NaN;
const parsed = (json) =>
  JSON.parse(json, (_, value, { source }) => (typeof value === "number" ? wholeOf(value, source) : value));

const KINDS = {
  text: (value) => typeof value === "string",
  bool: (value) => typeof value === "boolean",
  whole: (value) => Number.isInteger(value) || (typeof value === "bigint" && value < 1n << 63n),
  list: Array.isArray,
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  sizes: (value) => KINDS.object(value) && Object.values(value).every(KINDS.whole),
};
// An object with these fields: `name: "kind"`, or `name: "kind?"` where it may be null.
function fields(value, kinds, only = true) {
  need(KINDS.object(value), "not an object");
  need(!only || Object.keys(value).sort().join() === Object.keys(kinds).sort().join(), "other fields");
  for (const [name, kind] of Object.entries(kinds))
    need(Object.hasOwn(value, name) && ((value[name] === null && kind.endsWith("?")) || KINDS[kind.replace("?", "")](value[name])), name);
  return value;
}

// --- the archive

const ALLOWED =
  /^(README\.txt|SHA256SUMS|bundle\.json|bundle\.note|check\.py|events\/\d{6}\.(record|tlog-proof)|policies\/\d{6}\.policy|anchors\/\d{9}\.(anchor|\d\.tsr)|manifests\/\d{6}\.json)$/;

function common(name, data) {
  const head = Buffer.alloc(26);
  head.writeUInt16LE(20, 0); // version; then flags, method and time, which are 0
  head.writeUInt16LE(33, 8); // the first of January 1980
  head.writeUInt32LE(crc32(data), 10);
  head.writeUInt32LE(data.length, 14);
  head.writeUInt32LE(data.length, 18);
  head.writeUInt16LE(name.length, 22);
  return head;
}

function readArchive(all) {
  const files = new Map();
  const directory = [];
  let place = 0;
  let last = "";
  while (all.subarray(place, place + 4).equals(Buffer.from("PK\x03\x04"))) {
    need(all.length >= place + 30, "short");
    const size = all.readUInt32LE(place + 18);
    const dataAt = place + 30 + all.readUInt16LE(place + 26);
    const name = all.toString("latin1", place + 30, dataAt);
    need(ALLOWED.test(name) && name > last, "a name");
    const data = all.subarray(dataAt, dataAt + size);
    const raw = Buffer.from(name);
    const made = common(raw, data);
    need(all.subarray(place, dataAt).equals(Buffer.concat([Buffer.from("PK\x03\x04"), made, raw])), "a header");
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(0o100644 * 65536, 6);
    tail.writeUInt32LE(place, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x03"), made, tail, raw);
    files.set(name, data);
    last = name;
    place = dataAt + size;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(files.size, 8);
  end.writeUInt16LE(files.size, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(place, 16);
  need(all.subarray(place).equals(Buffer.concat([central, end])), "the end");
  return files;
}

// --- notes

const PREFIX = Buffer.from("302a300506032b6570032100", "hex");
function isSigned(key, signature, content) {
  try {
    const made = createPublicKey({ key: Buffer.concat([PREFIX, key]), format: "der", type: "spki" });
    return verify(null, content, made, signature);
  } catch {
    return false;
  }
}
const keyId = (name, key, kind) => sha256(name, "\n", Buffer.from([kind]), key).subarray(0, 4);

class Note {
  constructor(raw) {
    const content = text(raw);
    // eslint-disable-next-line no-control-regex
    need(!/[\x00-\x09\x0b-\x1f\x7f]/.test(content), "a control character");
    const at = content.lastIndexOf("\n\n");
    need(at >= 0 && content.endsWith("\n"), "no signatures");
    this.text = content.slice(0, at + 1);
    this.lines = content.slice(0, at).split("\n");
    need(content.slice(at + 2).split("\n").length <= 101, "too many signatures");
    this.signatures = content
      .slice(at + 2, -1)
      .split("\n")
      .map((line) => {
        const parts = /^\u2014 ([^\p{White_Space}+]+) ([^ ]+)$/u.exec(line);
        need(parts, "a line of signature");
        const bytes = base64(parts[2]);
        need(bytes.length > 4, "a short signature");
        return { name: parts[1], id: bytes.subarray(0, 4), signature: bytes.subarray(4) };
      });
  }
  by(name, key, kind = 1) {
    const mine = this.signatures.filter((each) => each.name === name && each.id.equals(keyId(name, key, kind)));
    for (const { signature } of mine) {
      const head = kind === 4 ? `cosignature/v1\ntime ${signature.readBigUInt64BE(0)}\n` : "";
      const bytes = kind === 4 ? signature.subarray(8) : signature;
      need(isSigned(key, bytes, Buffer.from(head + this.text)), "a false signature");
    }
    return mine.length > 0;
  }
}

// --- the tree

const leafHash = (data) => sha256(Buffer.from([0]), data);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);
function rootOver(hashes) {
  if (hashes.length === 0) return sha256("");
  if (hashes.length === 1) return hashes[0];
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return nodeHash(rootOver(hashes.slice(0, split)), rootOver(hashes.slice(split)));
}
function rootBy(leaf, index, size, proof) {
  // From above: at each level the tree of `size` leaves splits at the largest power of two below it.
  need(index >= 0n && index < size, "an index");
  const turns = [];
  let at = index;
  let left = size;
  while (left > 1n) {
    let split = 1n;
    while (split * 2n < left) split *= 2n;
    turns.push(at < split);
    if (at < split) left = split;
    else {
      at -= split;
      left -= split;
    }
  }
  need(turns.length === proof.length, "a proof of another length");
  return turns
    .reverse()
    .reduce((root, isLeft, place) => (isLeft ? nodeHash(root, proof[place]) : nodeHash(proof[place], root)), leaf);
}

// --- the bundle

function check(content, pin) {
  const unchecked = [];
  const files = readArchive(content);
  const named = (pattern) => [...files.keys()].filter((name) => pattern.test(name));

  // 1
  const sums = named(/./)
    .filter((name) => name !== "SHA256SUMS" && name !== "bundle.note")
    .map((name) => `${sha256(files.get(name)).toString("hex")}  ${name}\n`)
    .join("");
  need(files.has("SHA256SUMS") && files.get("SHA256SUMS").equals(Buffer.from(sums)), "SHA256SUMS");
  for (const name of ["README.txt", "bundle.json", "check.py"]) need(files.has(name), "a file is missing");
  const about = fields(parsed(text(files.get("bundle.json"))), {
    format: "text", log_name: "text", owner: "text", made_at_ms: "whole", events: "list", session: "object?",
  });
  for (const each of about.events) fields(each, { origin: "text", offset: "whole" });
  need(about.format === "trailhouse-bundle/1", "form");

  // 2
  const owner = base64(about.owner, 32);
  const fingerprint = "SHA256:" + sha256(owner).toString("base64").replace(/=+$/, "");
  if (pin === null) unchecked.push("no pin");
  else need(pin === fingerprint, "another owner");

  // 3
  const policies = new Map();
  let policy = null;
  let previous = "";
  for (const name of named(/^policies\//)) {
    const note = new Note(files.get(name));
    need(note.by(`${about.log_name}/owner`, owner), "a policy's signature");
    need(note.lines.length === 2 && note.lines[0] === "trailhouse-policy/1", "a policy's form");
    policy = policyOf(note.lines[1]);
    need(policy.log_name === about.log_name && policy.previous === previous, "a policy");
    need(policy.version === policies.size + 1, "a version");
    need(name === `policies/${String(policy.version).padStart(6, "0")}.policy`, "a policy's name");
    previous = sha256(note.text).toString("hex");
    policies.set(policy.version, previous);
  }
  need(policy, "no policy");
  const logKeys = policy.log_keys.map((each) => ({ ...each, key: base64(each.public_key, 32) }));

  // 4
  const isWhole = files.has("bundle.note");
  if (isWhole) {
    const note = new Note(files.get("bundle.note"));
    const name = `${about.log_name}/bundle`;
    need(byOne(note, name, logKeys.filter((each) => !each.is_revoked)), "the bundle's signature");
    need(note.text === `trailhouse-bundle/1\n${sha256(sums).toString("hex")}\n`, "another bundle");
  }

  // 5
  const anchors = new Map();
  const said = new Map();
  const sayOnce = (what, root) => {
    if (!said.has(what)) said.set(what, root);
    need(said.get(what) === root, "two roots of one size or day");
  };
  let last = { its: 0n, hash: "-" };
  for (const name of named(/\.anchor$/)) {
    const note = new Note(files.get(name));
    const { lines } = note;
    need(lines.length >= 10 && lines[0] === "trailhouse-anchor/1" && lines[1] === about.log_name, "an anchor");
    const its = number(lines[2]);
    number(lines[3]);
    need(its > 0n && name === `anchors/${String(its).padStart(9, "0")}.anchor`, "an anchor's name");
    const keys = logKeys.filter((each) => each.last_anchor === null || its <= BigInt(each.last_anchor));
    need(byOne(note, `${about.log_name}/anchor`, keys), "an anchor's signature");
    need(/^\d+ ([0-9a-f]{64}|-)$/.test(lines[4]) && /^([0-9a-f]{64}|-)$/.test(lines[5]), "an anchor's hashes");
    const [version, hash] = lines[4].split(" ");
    const known = policies.get(Number(number(version)));
    need(known === undefined || known === hash, "an anchor's policy");
    need((its === 1n) === (lines[5] === "-"), "an anchor's place");
    need(its !== last.its + 1n || lines[5] === last.hash, "an anchor after another one");
    last = { its, hash: sha256(files.get(name)).toString("hex") };
    const [checkpoints, manifests] = anchorParts(lines.slice(6));
    for (const line of checkpoints) sayOnce(line.split(" ").slice(0, 2).join(" "), line.split(" ")[2]);
    for (const line of manifests) sayOnce(line.split(" ").slice(0, 2).join(" "), line);
    anchors.set(its, { checkpoints, manifests });
  }
  for (const name of named(/\.tsr$/)) need(anchors.has(BigInt(name.slice(8, 17))), "a token without its anchor");
  const anchored = (line, part) => {
    const found = [...anchors.keys()].filter((its) => anchors.get(its)[part].includes(line));
    return found.sort((a, b) => Number(a - b))[0];
  };

  // 6
  const checkpoints = new Map();
  const checkpoint = (raw) => {
    const key = raw.toString("latin1");
    if (checkpoints.has(key)) return checkpoints.get(key);
    const note = new Note(raw);
    need(note.lines.length === 3, "a checkpoint's lines");
    const [origin, sizeText, rootText] = note.lines;
    const size = number(sizeText);
    const root = base64(rootText, 32);
    need(size > 0n && origin.startsWith(`${about.log_name}/`), "a checkpoint");
    need(/^[^/]+\/[^/]+\/[0-9]+\/[0-9a-f-]+$/.test(origin.slice(about.log_name.length + 1)), "an origin");
    sayOnce(`${origin} ${size}`, rootText);
    const anchor = anchored(note.lines.join(" "), "checkpoints");
    const counts = logKeys.filter(
      (each) =>
        size >= BigInt(each.first_sizes[origin] ?? 0) &&
        (each.last_sizes === null || size <= BigInt(each.last_sizes[origin] ?? -1)) &&
        (!each.is_revoked || (anchor !== undefined && anchor <= BigInt(each.last_anchor))),
    );
    need(byOne(note, origin, counts), "a checkpoint's signature");
    const witnesses = policy.witnesses.filter((line) => {
      const [name, , keyText] = line.split(/\+(.*?)\+/s);
      return note.by(name, base64(keyText).subarray(1), 4);
    });
    if (witnesses.length < policy.quorum) unchecked.push("too few witnesses");
    const made = { origin, size, root };
    checkpoints.set(key, made);
    return made;
  };

  // 7
  const leaves = new Map();
  const records = [];
  const places = named(/\.tlog-proof$/);
  need(places.length === about.events.length, "as many proofs as events");
  need(named(/\.record$/).every((name) => files.has(name.replace(".record", ".tlog-proof"))), "a record too much");
  about.events.forEach(({ origin, offset }, at) => {
    const stem = `events/${String(at).padStart(6, "0")}`;
    need(places[at] === `${stem}.tlog-proof`, "a proof's name");
    const following = about.events[at - 1];
    const isLater =
      at === 0 ||
      before(Buffer.from(following.origin), Buffer.from(origin)) ||
      (following.origin === origin && following.offset < offset);
    need(isLater, "doubled, or out of place");
    const raw = files.get(places[at]);
    const end = raw.indexOf("\n\n");
    need(end >= 0, "a proof");
    const lines = raw.toString("latin1", 0, end).split("\n");
    need(lines[0] === "c2sp.org/tlog-proof@v1" && lines[2] === `index ${offset}`, "a proof's index");
    need(lines[1].startsWith("extra "), "a proof's leaf");
    const leaf = base64(lines[1].slice(6), 41);
    const signed = checkpoint(raw.subarray(end + 2));
    need(signed.origin === origin, "another log");
    const hashes = lines.slice(3).map((line) => base64(line, 32));
    need(rootBy(leafHash(leaf), BigInt(offset), signed.size, hashes).equals(signed.root), "not in its log");
    const record = files.get(`${stem}.record`);
    if (record === undefined) unchecked.push("a record is not here");
    else {
      need(sha256(record).equals(leaf.subarray(9)), "another record");
      records.push(record);
    }
    need(leaf[0] === 1 || (leaf[0] === 2 && !record?.length), "a leaf's kind");
    if (!leaves.has(origin)) leaves.set(origin, new Map());
    leaves.get(origin).set(offset, leafHash(leaf));
  });

  // 8
  const manifests = named(/^manifests\//);
  let isCovered = false;
  if (about.session === null) need(manifests.length === 0, "manifests without a session");
  else {
    const { tenant_id: tenant, session_id: session } = fields(about.session, { tenant_id: "text", session_id: "text" });
    for (const record of records) {
      const event = parsed(text(record));
      need((event.tenant_id ?? "") === tenant && event.session_id === session, "another session");
    }
    const covered = new Map();
    const logs = new Set();
    let previous = { origin: "", day: "" };
    for (const [at, name] of manifests.entries()) {
      need(name === `manifests/${String(at).padStart(6, "0")}.json`, "a manifest's name");
      const shown = parsed(text(files.get(name)));
      fields(shown, {
        origin: "text", day: "text", first_offset: "whole", end_offset: "whole", sessions: "whole",
        header_proof: "list", entries: "list",
      });
      const isLater =
        before(Buffer.from(previous.origin), Buffer.from(shown.origin)) ||
        (previous.origin === shown.origin && previous.day < shown.day);
      need(isLater, "a manifest's place");
      previous = shown;
      need(isDay(shown.day), "no day of the calendar");
      const anchor = checkShown(shown, tenant, session, leaves.get(shown.origin) ?? new Map(), anchored);
      for (const line of anchors.get(anchor).checkpoints) logs.add(line.split(" ").slice(0, -2).join(" "));
      if (!covered.has(shown.origin)) covered.set(shown.origin, []);
      covered.get(shown.origin).push(shown);
    }
    for (const log of logs) if (!covered.has(log)) unchecked.push("a log without manifests");
    if (new Set([...covered.values()].map((days) => days.map((one) => one.day).join())).size > 1)
      unchecked.push("other days");
    for (const days of covered.values())
      days.slice(1).forEach((day, at) => {
        const later = (Date.parse(day.day) - Date.parse(days[at].day)) / 86_400_000;
        const isNext = later === 1 || later > 366;
        need(isNext && day.first_offset === days[at].end_offset, "a day is missing");
      });
    isCovered =
      covered.size > 0 &&
      [...leaves].every(([origin, its]) =>
        [...its.keys()].every((offset) =>
          (covered.get(origin) ?? []).some((day) => day.first_offset <= offset && offset < day.end_offset),
        ),
      );
  }
  if (!isCovered && !isWhole) unchecked.push("something may be left out");
  return unchecked.length ? [2, unchecked.join("; ")] : [0, "proven"];
}

function isDay(text) {
  const at = new Date(`${text}T00:00:00Z`);
  return text >= "0001" && !Number.isNaN(at.getTime()) && at.toISOString().slice(0, 10) === text;
}

const byOne = (note, name, keys) => keys.filter((each) => note.by(name, each.key)).length > 0;

function policyOf(line) {
  const policy = fields(
    parsed(line),
    { log_name: "text", version: "whole", previous: "text", log_keys: "list", witnesses: "list", quorum: "whole" },
    false,
  );
  for (const each of policy.log_keys) {
    const kinds = { public_key: "text", first_sizes: "sizes", last_sizes: "sizes?", last_anchor: "whole?", is_revoked: "bool" };
    base64(fields(each, kinds).public_key, 32);
    need(!each.is_revoked || each.last_anchor !== null, "a key revoked from no anchor on");
  }
  for (const each of policy.witnesses) {
    const [, name, id, key] = /^([^\p{White_Space}+]+)\+([0-9a-f]{8})\+(.+)$/u.exec(each) ?? [];
    const raw = base64(key, 33);
    need(raw[0] === 4 && keyId(name, raw.subarray(1), 4).toString("hex") === id, "a witness");
  }
  return policy;
}

function anchorParts(lines) {
  const whole = "(?:0|[1-9][0-9]{0,18})";
  const forms = [
    `[^ ]+ ${whole} [A-Za-z0-9+/]{43}=`,
    `[0-9]{4}-[0-9]{2}-[0-9]{2} [^ ]+ ${whole} [A-Za-z0-9+/]{43}=`,
    `${whole} [0-9a-f]{64}`,
    `[^ ]+ ${whole} [0-9a-f]{64}`,
  ];
  let rest = lines;
  const padded = (line) => line.split(" ").map((one) => (/^[0-9]{1,19}$/.test(one) ? one.padStart(19, "0") : one)).join(" ");
  const parts = forms.map((form) => {
    const count = Number(number(rest[0] ?? ""));
    const part = rest.slice(1, 1 + count);
    rest = rest.slice(1 + count);
    need(part.length === count && part.every((line) => new RegExp(`^${form}$`).test(line)), "an anchor's lines");
    need(part.every((line, at) => !at || before(Buffer.from(padded(part[at - 1])), Buffer.from(padded(line)))), "sorted lines");
    for (const line of part) if (line.endsWith("=")) base64(line.split(" ").at(-1), 32);
    return part;
  });
  need(rest.length === 0, "an anchor's end");
  return parts;
}

function checkShown(shown, tenant, session, leaves, anchored) {
  const { origin, day, first_offset: first, end_offset: end, sessions } = shown;
  const header = ["trailhouse-manifest/1", origin, day, first, end, sessions].join("\n") + "\n";
  const proofOf = (lines) => lines.map((line) => base64(line, 32));
  const size = BigInt(sessions) + 1n;
  const root = rootBy(leafHash(Buffer.from(header)), 0n, size, proofOf(shown.header_proof));
  const anchor = anchored(`${day} ${origin} ${sessions} ${root.toString("base64")}`, "manifests");
  need(anchor !== undefined, "a manifest in no anchor");
  const key = sha256(`trailhouse-session/1\n${origin}\n${day}\n`, sha256(tenant), sha256(session));
  const found = shown.entries.map((each) => {
    const { index, entry, proof } = fields(each, { index: "whole", entry: "text", proof: "list" });
    const raw = base64(entry, 72);
    need(rootBy(leafHash(raw), BigInt(index) + 1n, size, proofOf(proof)).equals(root), "an entry");
    return { index, key: raw.subarray(0, 32), rest: raw.subarray(32) };
  });
  const mine = [...leaves]
    .filter(([offset]) => first <= offset && offset < end)
    .sort((a, b) => (a[0] < b[0] ? -1 : 1))
    .map(([, leaf]) => leaf);
  if (found.length === 1 && found[0].key.equals(key)) {
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(BigInt(mine.length));
    need(found[0].rest.equals(Buffer.concat([count, rootOver(mine)])), "other leaves");
    return anchor;
  }
  need(mine.length === 0, "leaves that are not listed");
  const lower = found.filter((each) => before(each.key, key));
  const upper = found.filter((each) => before(key, each.key));
  need(found.length < 2 || found[0].index < found[1].index, "neighbours out of order");
  need(lower.length + upper.length === found.length && lower.length < 2 && upper.length < 2, "neighbours");
  if (lower.length && upper.length) need(BigInt(upper[0].index) === BigInt(lower[0].index) + 1n, "not side by side");
  else if (lower.length) need(BigInt(lower[0].index) === BigInt(sessions) - 1n, "not the last");
  else if (upper.length) need(upper[0].index === 0, "not the first");
  else need(sessions === 0, "no neighbour");
  return anchor;
}

const pin = process.argv[2] === "-" ? null : process.argv[2];
let rest = readFileSync(0);
while (rest.length) {
  const size = rest.readUInt32BE(0);
  let answer;
  try {
    answer = check(rest.subarray(4, 4 + size), pin);
  } catch (error) {
    answer = [1, error.message];
  }
  process.stdout.write(`${answer[0]} ${answer[1].replaceAll("\n", " ")}\n`);
  rest = rest.subarray(4 + size);
}
