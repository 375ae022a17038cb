"use strict";
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

const grid = one("#grid"), large = one("#large"), pair = one("#large-pair");
const cards = all(".card");

// The slider is a range control, which mouse, touch and arrow keys move by themselves.
function follow(input) {
  const box = input.parentElement, at = Number(input.value);
  box.style.setProperty("--at", at);
  box.classList.toggle("all-after", at < 12);
  box.classList.toggle("all-before", at > 88);
}
document.addEventListener("input", event => {
  if (event.target.type === "range") follow(event.target);
});

// Filters and order.
const folder = one("#folder"), sort = one("#sort"), find = one("#find");
const chips = all(".chips .chip");
const words = new Map();
const wordsOf = card => {
  if (!words.has(card)) words.set(card, card.textContent.toLowerCase());
  return words.get(card);
};
function choose() {
  const outcomes = new Set(chips.filter(c => c.ariaPressed === "true").map(c => c.dataset.outcome));
  const wanted = find.value.trim().toLowerCase();
  let count = 0;
  for (const card of cards) {
    const { folder: where, outcome } = card.dataset;
    const fits = outcomes.has(outcome) && (!folder.value || where === folder.value)
      && (!wanted || wordsOf(card).includes(wanted));
    card.hidden = !fits;
    count += fits;
  }
  one("#shown").textContent = count === cards.length ? `${count} ${count === 1 ? "photo" : "photos"}`
    : `${count} of ${cards.length}`;
  one("#nothing").hidden = count > 0;
}
const orders = {
  order: () => 0,
  taken: (a, b) => a.dataset.taken.localeCompare(b.dataset.taken),
  ratio: (a, b) => b.dataset.ratio - a.dataset.ratio,
  seconds: (a, b) => b.dataset.seconds - a.dataset.seconds,
  outcome: (a, b) => rank(a) - rank(b),
};
const rank = card => ["failed", "done", "skipped"].indexOf(card.dataset.outcome);
function arrange() {
  cards.sort((a, b) => orders[sort.value](a, b) || a.dataset.order - b.dataset.order);
  grid.append(...cards);
}
for (const chip of chips) {
  chip.addEventListener("click", () => {
    chip.ariaPressed = chip.ariaPressed === "true" ? "false" : "true";
    choose();
  });
}
folder.addEventListener("change", choose);
find.addEventListener("input", choose);
sort.addEventListener("change", arrange);

// One photo, large.
let open = null, kind = "view";
const slider = one("input", pair);
function show(card) {
  open = card;
  const { pictures, aspect } = card.dataset;
  one("h2", large).textContent = one(".name", card).textContent;
  one("aside .where", large).textContent = one(".where", card).textContent;
  for (const part of [".notes", "dl"]) {
    one(`aside ${part}`, large).replaceChildren(
      ...[...one(part, card).children].map(child => child.cloneNode(true)));
  }
  one("#whole").ariaPressed = String(kind === "view");
  one("#detail").ariaPressed = String(kind === "detail");
  const after = one(".after", pair), before = one(".before", pair);
  pair.style.setProperty("--aspect", aspect);
  pair.style.setProperty("--pixels", 1600);
  after.onload = () => {
    pair.style.setProperty("--aspect", after.naturalWidth / after.naturalHeight);
    // One pixel of the photo on one of the screen, however dense that is.
    pair.style.setProperty("--pixels", after.naturalWidth
      / (kind === "detail" ? Math.max(1, window.devicePixelRatio) : 0.5));
  };
  for (const [image, side] of [[after, "after"], [before, "before"]]) {
    image.removeAttribute("src");
    image.src = `${pictures}-${kind}-${side}.webp`;
  }
  if (!large.open) large.showModal();
  slider.focus({ preventScroll: true });
}
function step(by) {
  const shown = cards.filter(card => !card.hidden && card.dataset.pictures);
  const next = shown[shown.indexOf(open) + by];
  if (next) show(next);
}
function look(at) {
  kind = at;
  show(open);
}
grid.addEventListener("click", event => {
  const name = event.target.closest("button.name");
  if (name) show(name.closest(".card"));
});
grid.addEventListener("dblclick", event => {
  const card = event.target.closest(".card");
  if (card && card.dataset.pictures) show(card);
});
one("#previous").addEventListener("click", () => step(-1));
one("#next").addEventListener("click", () => step(1));
one("#close").addEventListener("click", () => large.close());
one("#whole").addEventListener("click", () => look("view"));
one("#detail").addEventListener("click", () => look("detail"));
large.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "n") step(1);
  else if (key === "p") step(-1);
  else if (key === "z") look(kind === "view" ? "detail" : "view");
  else return;
  event.preventDefault();
});
large.addEventListener("close", () => {
  const name = one(".name", open);
  open.scrollIntoView({ block: "nearest" });
  name.focus({ preventScroll: true });
});

for (const input of all("input[type=range]")) follow(input);
choose();
