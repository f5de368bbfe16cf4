"use strict";
// Verdicts of a person, kept in the browser where it allows that, by run and task.
const body = document.body;
const articles = [...document.querySelectorAll("article")];
const key = `audit:${body.dataset.run}:${body.dataset.task}`;
let verdicts = {};
try {
  verdicts = JSON.parse(localStorage.getItem(key) || "{}");
} catch {
  verdicts = {};
}

function show(article) {
  const verdict = verdicts[article.dataset.index] || "";
  article.dataset.verdict = verdict;
  for (const button of article.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
}

function count() {
  const given = Object.values(verdicts);
  const wrong = given.filter((verdict) => verdict === "wrong").length;
  document.getElementById("count").textContent = `${given.length} looked at, ${wrong} wrong`;
}

function decide(article, verdict) {
  if (verdict) {
    verdicts[article.dataset.index] = verdict;
  } else {
    delete verdicts[article.dataset.index];
  }
  try {
    localStorage.setItem(key, JSON.stringify(verdicts));
  } catch {
    // Without storage the verdicts last as long as the page.
  }
  show(article);
  count();
}

function move(step) {
  const here = articles.indexOf(document.activeElement.closest("article"));
  const next = articles[Math.min(Math.max(here + step, 0), articles.length - 1)];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-verdict]");
  if (button) {
    const pressed = button.getAttribute("aria-pressed") === "true";
    decide(button.closest("article"), pressed ? "" : button.dataset.verdict);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const article = document.activeElement.closest("article");
  const verdict = { w: "wrong", r: "right", u: "" }[event.key];
  if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (article && verdict !== undefined) {
    decide(article, verdict);
  }
});

document.getElementById("save").addEventListener("click", () => {
  const quoted = (text) => `"${(/^[=+\-@\t]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;
  const rows = articles
    .filter((article) => verdicts[article.dataset.index])
    .map((article) =>
      [body.dataset.task, article.dataset.index, quoted(article.dataset.name), verdicts[article.dataset.index]].join(","),
    );
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["task,index,name,verdict", ...rows, ""].join("\n")], { type: "text/csv" }));
  link.download = `verdicts-${body.dataset.task}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
});

articles.forEach(show);
count();
