/** A bundle as its manifest describes it, and what clicks become: the tensors of a query, as vocabulary indices. */

import { readAttached } from "./zip.js";

export const PADDING = 0;
export const UNKNOWN = 1;
export const FIRST_KNOWN = 2;

const VOCABULARIES = "vocabularies.json";
const TFLITE = "tflite/model.tflite";

/** A failure whose message tells the person at the page what is wrong and how to mend it. */
export class DemoError extends Error {}

/** The values of an input: raw ones, of which the index 0 is padding, 1 unknown, and known ones start at 2. */
export class Vocabulary {
  constructor({ values, padding }) {
    this.values = values;
    this.padding = padding;
    this.indices = new Map(values.map((value, place) => [String(value), place + FIRST_KNOWN]));
  }

  /** The raw value of an index; that of the unknown index is one that is not in the vocabulary. */
  raw(index) {
    if (index === PADDING) return this.padding;
    return index === UNKNOWN ? this.stranger : this.values[index - FIRST_KNOWN];
  }

  /** The index of a raw value. */
  index(raw) {
    return this.indices.get(String(raw)) ?? (String(raw) === String(this.padding) ? PADDING : UNKNOWN);
  }

  get stranger() {
    if (typeof this.padding === "string") {
      return `${this.values.reduce((longest, value) => (value.length > longest.length ? value : longest))}?`;
    }
    return BigInt(this.values.reduce((largest, value) => (value > largest ? value : largest))) + 1n;
  }
}

/** A bundle whose recommendations can follow what somebody likes. */
export class Bundle {
  /** Opens the bundle in a folder, by its address. */
  static async open(address) {
    const folder = new URL(address.endsWith("/") ? address : `${address}/`, document.baseURI);
    const manifest = await readManifest(folder);
    checkManifest(manifest, folder);
    const bundle = new Bundle(folder, manifest);
    const described = await readAttached(await bundle.file(TFLITE), VOCABULARIES);
    if (described === null) throw new DemoError(`${TFLITE} has no ${VOCABULARIES} attached. Export the run again.`);
    const entries = Object.entries(parse(described)).map(([name, values]) => [name, new Vocabulary(values)]);
    bundle.vocabularies = Object.fromEntries(entries);
    bundle.titles = "titles.json" in manifest.files ? JSON.parse(decode(await bundle.file("titles.json"))) : null;
    return bundle;
  }

  constructor(folder, manifest) {
    this.folder = folder;
    this.manifest = manifest;
    this.recommend = manifest.endpoints.recommend;
    this.files = new Map();
  }

  get items() {
    return this.vocabularies.item;
  }

  /** The TFLite files, of which all except the first are quantized. */
  get tfliteFiles() {
    const names = Object.keys(this.manifest.files).filter((name) => /^tflite\/.*\.tflite$/.test(name));
    return names.sort((a, b) => (b === TFLITE) - (a === TFLITE) || a.localeCompare(b));
  }

  /** What people call an item: its title, or its id where the data has no titles. */
  title(index) {
    return this.titles?.[index - FIRST_KNOWN] || String(this.items.raw(index));
  }

  /** The bytes of a file, fetched once. */
  file(name) {
    if (!this.files.has(name)) this.files.set(name, fetchBytes(new URL(name, this.folder), name));
    return this.files.get(name);
  }

  /**
   * The inputs of `recommend` for one person of whom only the items they like are known.
   *
   * @param {number[]} liked Item indices, the latest last.
   * @returns {{info: object, shape: number[], values: number[]}[]} One an input; ids and categories as indices.
   */
  query(liked) {
    // TFLite files of fixed shapes take lists of one length, so ONNX gets the same.
    const listLength = this.manifest.tflite?.list_length ?? Math.max(1, liked.length);
    return this.recommend.inputs.map((info) => {
      const shape = info.shape.map((size, axis) => size ?? (axis === 0 ? 1 : listLength));
      const length = shape.reduce((a, b) => a * b);
      return { info, shape, values: this.values(info, length, liked) };
    });
  }

  values(info, length, liked) {
    const latest = liked.slice(-length);
    const padding = new Array(length - latest.length).fill(PADDING);
    if (info.name === "history") return [...padding, ...latest];
    if (info.name === "history_rating") return [...padding, ...latest.map(() => this.bestRating)];
    if (info.name === "exclude") return [...latest, ...padding];
    if (info.name === "candidates" || info.shape.length > 1) return new Array(length).fill(PADDING);
    if (info.vocabulary) return [UNKNOWN];
    return [NaN];
  }

  /** The rating that a like stands for: the best of the data, by which ratings are scaled. */
  get bestRating() {
    return this.manifest.recipe.schema.find((feature) => feature.name === "history_rating").std ?? 1;
  }
}

async function readManifest(folder) {
  const address = new URL("manifest.json", folder);
  const response = await fetch(address);
  if (!response.ok) {
    throw new DemoError(
      `There is no bundle at ${folder.href} (manifest.json: ${response.status}). Export one into that folder as the ` +
        "README of this page says, or name another folder in the address of this page: ?bundle=path/to/bundle",
    );
  }
  try {
    return parse(await response.text());
  } catch {
    throw new DemoError(`${address.href} is not JSON. Export the run again.`);
  }
}

function checkManifest(manifest, folder) {
  const recommend = manifest.endpoints?.recommend;
  if (!recommend || !manifest.files || !manifest.recipe) {
    throw new DemoError(`${folder.href}manifest.json does not describe a bundle of recozoo. Export the run again.`);
  }
  if (!recommend.inputs.some((info) => info.name === "history")) {
    const given = ["exclude", "candidates"];
    const query = recommend.inputs.map((info) => info.name).filter((name) => !given.includes(name));
    throw new DemoError(
      `This bundle holds ${manifest.recipe.name}, which answers only from ${query.join(", ")}. Without a history in ` +
        "its query it cannot follow what you click. Export a run of an architecture whose query has a history, " +
        "such as ials, ease or lstm.",
    );
  }
  const missing = ["onnx", "tflite"].filter((name) => !manifest.formats.includes(name));
  if (missing.length > 0) {
    throw new DemoError(
      `This bundle has no ${missing.join(" and no ")} files. Export the run again with --format onnx,tflite --batch 1.`,
    );
  }
}

async function fetchBytes(address, name) {
  const response = await fetch(address);
  if (!response.ok) {
    throw new DemoError(`The file ${name} of the bundle was not found (${response.status}). Copy the whole bundle.`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** Parses JSON whose integers may need 64 bits, which become BigInts. */
function parse(text) {
  return JSON.parse(text, (key, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? BigInt(context.source) : value,
  );
}

function decode(bytes) {
  return new TextDecoder().decode(bytes);
}
