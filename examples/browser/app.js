/** The page: what is liked, what both runtimes recommend, how fast they are and whether they agree. */

import { Bundle, DemoError, FIRST_KNOWN } from "./bundle.js";
import { LiteRtRecommender, OnnxRecommender } from "./runtimes.js";

const DEFAULT_BUNDLE = "bundle";
const SHOWN = 10;
const FOUND = 8;
// Latencies are medians of this many calls, or of as many as there were.
const CALLS = 25;
// Scores of float files agree within this, or within this share of scores above 1.
const TOLERANCE = 1e-4;

const $ = (selector, parent = document) => parent.querySelector(selector);

/** One runtime with its part of the page: a latency and a ranking, or why there is none. */
class Lane {
  constructor(name, onLike) {
    this.card = $(`[data-runtime=${name}]`);
    this.onLike = onLike;
    this.recommender = null;
    this.ranking = null;
  }

  /** Replaces the recommender by what `load` gives, and calls it once, because first calls are slow. */
  async load(load, query) {
    const former = this.recommender;
    this.recommender = null;
    await former?.close();
    this.times = [];
    this.showError("");
    try {
      const recommender = await load();
      await recommender.recommend(query);
      this.recommender = recommender;
    } catch (error) {
      this.fail(error);
    }
  }

  async recommend(query, bundle) {
    if (!this.recommender) return;
    try {
      const start = performance.now();
      const best = await this.recommender.recommend(query);
      this.times = [...this.times, performance.now() - start].slice(-CALLS);
      this.ranking = best.slice(0, SHOWN);
      this.show(bundle);
    } catch (error) {
      this.recommender = null;
      this.fail(error);
    }
  }

  fail(error) {
    console.error(error);
    this.ranking = null;
    this.showError(error instanceof DemoError ? error.message : `It cannot run this file: ${error.message ?? error}`);
    $(".ranking", this.card).replaceChildren();
    $(".median", this.card).textContent = "–";
    $(".calls", this.card).textContent = "";
  }

  showError(message) {
    const error = $(".error", this.card);
    error.textContent = message;
    error.hidden = message === "";
  }

  show(bundle) {
    const milliseconds = median(this.times);
    $(".median", this.card).value = milliseconds;
    $(".median", this.card).textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
    $(".calls", this.card).textContent =
      this.times.length === 1 ? "one call" : `median of ${this.times.length} calls`;
    const list = $(".ranking", this.card);
    // Whoever likes by keyboard stays at the same place of the list.
    const focused = [...list.children].findIndex((row) => row.contains(document.activeElement));
    list.replaceChildren(...this.ranking.map((place) => this.row(place, bundle)));
    if (focused >= 0) $("button", list.children[Math.min(focused, list.children.length - 1)])?.focus();
  }

  row({ index, score }, bundle) {
    const title = bundle.title(index);
    return element("li", {}, [
      element("data", { className: "item", value: String(bundle.items.raw(index)), textContent: title }),
      element("data", { className: "score", value: String(score), textContent: score.toFixed(4) }),
      element("button", {
        type: "button",
        className: "like",
        textContent: "Like",
        ariaLabel: `Like ${title}`,
        onclick: () => this.onLike(index),
      }),
    ]);
  }
}

/** The page once a bundle is open. */
class Page {
  constructor(bundle) {
    this.bundle = bundle;
    this.liked = [];
    const like = (index) => this.toggle(index);
    this.onnx = new Lane("onnx", like);
    this.litert = new Lane("litert", like);
    this.names = bundle.items.values.map((_, place) => plain(bundle.title(place + FIRST_KNOWN)));
    // One update at a time, and of those that wait only the last.
    this.updating = Promise.resolve();
    this.asked = 0;
  }

  async start() {
    const { manifest, items, tfliteFiles } = this.bundle;
    const shown = `${manifest.recipe.name} on ${manifest.data.name}, ${items.values.length.toLocaleString("en")} items`;
    $("#about").textContent = this.bundle.titles ? shown : `${shown}, which have no titles, so ids are shown`;
    $("#file").replaceChildren(...tfliteFiles.map((name) => element("option", { value: name, textContent: name })));
    $("#search").addEventListener("input", () => this.search());
    $("#clear").addEventListener("click", () => this.clear());
    $("#file").addEventListener("change", () => this.update(() => this.loadLiteRt()));
    $("#main").hidden = false;
    this.search();
    await this.update(async () => {
      say("Loading ONNX Runtime …");
      await this.onnx.load(() => OnnxRecommender.load(this.bundle), this.bundle.query([]));
      say("Loading LiteRT …");
      await this.loadLiteRt();
      say("");
    });
  }

  async loadLiteRt() {
    await this.litert.load(() => LiteRtRecommender.load(this.bundle, $("#file").value), this.bundle.query([]));
  }

  toggle(index) {
    this.liked = this.liked.includes(index) ? this.liked.filter((other) => other !== index) : [...this.liked, index];
    this.showLiked();
    this.update();
  }

  clear() {
    this.liked = [];
    this.showLiked();
    $("#search").focus();
    this.update();
  }

  /** Asks both runtimes again, after `before`, if anything is to be done before. */
  update(before = null) {
    const number = ++this.asked;
    this.updating = this.updating.then(async () => {
      await before?.();
      if (number !== this.asked) return;
      document.body.ariaBusy = "true";
      const query = this.bundle.query(this.liked);
      await this.onnx.recommend(query, this.bundle);
      await this.litert.recommend(query, this.bundle);
      this.showAgreement();
      document.body.ariaBusy = "false";
    });
    return this.updating;
  }

  search() {
    const words = plain($("#search").value).split(" ").filter(Boolean);
    const found = words.length > 0 ? this.find(words) : [];
    $("#found").replaceChildren(...found.slice(0, FOUND).map((index) => this.foundRow(index)));
    const more = found.length - FOUND;
    const hint = found.length === 0 && words.length > 0 ? "Nothing is called that." : "";
    $("#hint").textContent = more > 0 ? `and ${more.toLocaleString("en")} more` : hint;
  }

  /** The items whose titles have all words, those that start with them first. */
  find(words) {
    const start = words.join(" ");
    const places = this.names.flatMap((name, place) => (words.every((word) => name.includes(word)) ? [place] : []));
    places.sort((a, b) => this.names[b].startsWith(start) - this.names[a].startsWith(start));
    return places.map((place) => place + FIRST_KNOWN);
  }

  foundRow(index) {
    const button = element("button", {
      type: "button",
      ariaPressed: String(this.liked.includes(index)),
      onclick: () => this.toggle(index),
    });
    button.dataset.index = index;
    button.append(element("span", { textContent: this.bundle.title(index) }));
    return element("li", {}, [button]);
  }

  showLiked() {
    for (const button of document.querySelectorAll("#found button")) {
      button.ariaPressed = String(this.liked.includes(Number(button.dataset.index)));
    }
    $("#liked").replaceChildren(...this.liked.map((index) => element("li", {}, [this.chip(index)])));
    $("#liked-count").textContent = this.liked.length > 0 ? String(this.liked.length) : "";
    $("#nothing").hidden = this.liked.length > 0;
    $("#clear").hidden = this.liked.length === 0;
  }

  chip(index) {
    const title = this.bundle.title(index);
    return element("button", {
      type: "button",
      textContent: title,
      ariaLabel: `Remove ${title}`,
      onclick: () => {
        this.toggle(index);
        ($("#liked button") ?? $("#search")).focus();
      },
    });
  }

  showAgreement() {
    const [onnx, litert] = [this.onnx.ranking, this.litert.ranking];
    const line = $("#agreement");
    line.hidden = !onnx || !litert;
    if (line.hidden) return;
    const { agree, text } = compare(onnx, litert);
    line.textContent = text;
    line.dataset.agree = String(agree);
    for (const [lane, other] of [[this.onnx, litert], [this.litert, onnx]]) {
      [...$(".ranking", lane.card).children].forEach((row, place) => {
        row.classList.toggle("differs", lane.ranking[place].index !== other[place]?.index);
      });
    }
  }
}

/** Whether two rankings agree, ties aside, and how to say that. */
function compare(first, second) {
  const scores = new Map(second.map(({ index, score }) => [index, score]));
  const common = first.filter(({ index }) => scores.has(index));
  const largest = Math.max(0, ...common.map(({ index, score }) => difference(score, scores.get(index))));
  const within = largest === 0 ? "with the same scores" : `with scores within ${largest.toExponential(1)}`;
  const tied = first.every(({ score }, place) => second[place] && difference(score, second[place].score) <= TOLERANCE);
  const ordered = first.every(({ index }, place) => second[place]?.index === index);
  const agree = first.length === second.length && tied && largest <= TOLERANCE;
  const number = common.length === first.length ? `the same ${first.length}` : `${common.length} of ${first.length}`;
  const order = ordered ? "in the same order" : agree ? "except for the order of equal scores" : "in another order";
  return { agree, text: `${agree ? "Both runtimes agree" : "They differ"}: ${number} ${order}, ${within}.` };
}

/** How far scores are apart; of scores above 1 in size, as a share of them. */
function difference(score, other) {
  return Math.abs(score - other) / Math.max(1, Math.abs(score));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** A text without accents, case and punctuation, to search in. A text of punctuation only stays as it is. */
function plain(text) {
  const folded = text.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "");
  return folded.replace(/[^\p{L}\p{N}]+/gu, " ").trim() || folded.trim();
}

function element(name, properties, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function say(text) {
  $("#status").textContent = text;
  $("#status").hidden = text === "";
}

try {
  const address = new URLSearchParams(location.search).get("bundle") ?? DEFAULT_BUNDLE;
  await new Page(await Bundle.open(address)).start();
} catch (error) {
  console.error(error);
  say("");
  $("#error").textContent = error instanceof DemoError ? error.message : `This page failed: ${error.message ?? error}`;
  $("#error").hidden = false;
}
