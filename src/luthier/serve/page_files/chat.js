import { element, render } from "/page/markdown.js";

const $ = (id) => document.getElementById(id);
const talk = [];
let words = {};
let stopping = null;
const empty = $("empty");

const remembered = (name, value) => {
  try {
    if (value === undefined) return localStorage.getItem(`luthier.${name}`);
    localStorage.setItem(`luthier.${name}`, value);
  } catch {
    // a browser that keeps nothing
  }
  return null;
};

async function begin() {
  const all = await (await fetch("/page/words.json")).json();
  const wanted = remembered("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  const speak = (language) => {
    words = all[language];
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    for (const place of document.querySelectorAll("[data-word]")) place.textContent = words[place.dataset.word];
    for (const place of document.querySelectorAll("[data-hint]")) place.placeholder = words[place.dataset.hint];
    remembered("language", language);
    $("language").onclick = () => speak(language === "zh" ? "en" : "zh");
  };
  speak(wanted in all ? wanted : "en");
  $("key").value = sessionStorage.getItem("luthier.key") ?? "";
  $("key").onchange = () => {
    sessionStorage.setItem("luthier.key", $("key").value);
    listModels();
  };
  $("settings-toggle").onclick = () => {
    $("settings").hidden = !$("settings").hidden;
    $("settings-toggle").setAttribute("aria-expanded", String(!$("settings").hidden));
  };
  $("new").onclick = forget;
  $("stop").onclick = () => stopping?.abort();
  $("form").onsubmit = (event) => {
    event.preventDefault();
    ask();
  };
  $("question").onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask();
    }
  };
  $("question").oninput = () => {
    $("question").style.height = "auto";
    $("question").style.height = `${$("question").scrollHeight + 2}px`;
  };
  $("model").onchange = () => remembered("model", $("model").value);
  await listModels();
  $("question").focus();
}

function headers() {
  const key = $("key").value.trim();
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function listModels() {
  const reply = await fetch("/v1/models", { headers: headers() });
  const names = reply.ok ? (await reply.json()).data.map((model) => model.id) : [];
  $("model").replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(remembered("model"))) $("model").value = remembered("model");
  if (!names.length) fault(words.no_models, show("assistant", ""));
}

function forget() {
  stopping?.abort();
  talk.length = 0;
  $("talk").replaceChildren(empty);
  empty.hidden = false;
  $("question").focus();
}

function show(role, text) {
  empty.hidden = true;
  const turn = element("div", element("div"), element("div"));
  turn.className = `turn ${role}`;
  turn.children[0].className = "words";
  turn.children[1].className = "foot";
  turn.children[0].append(text);
  $("talk").append(turn);
  turn.scrollIntoView({ block: "end" });
  return turn;
}

function fault(text, turn) {
  const line = element("p", text);
  line.className = "fault";
  line.setAttribute("role", "alert");
  turn.children[0].append(line);
  turn.scrollIntoView({ block: "end" });
}

async function ask() {
  const question = $("question").value.trim();
  if (!question || stopping) return;
  $("question").value = "";
  $("question").oninput();
  talk.push({ role: "user", content: question });
  show("user", question);
  const turn = show("assistant", "");
  stopping = new AbortController();
  $("send").hidden = true;
  $("stop").hidden = false;
  try {
    await hear(turn, stopping.signal);
  } catch (error) {
    if (error.name === "AbortError") turn.children[1].append(words.stopped);
    else fault(`${words.failed} ${error.message}`, turn);
  }
  stopping = null;
  $("send").hidden = false;
  $("stop").hidden = true;
  $("question").focus();
}

function request() {
  const system = $("system").value.trim();
  const asked = { model: $("model").value, stream: true, stream_options: { include_usage: true } };
  asked.messages = [...(system ? [{ role: "system", content: system }] : []), ...talk.filter((turn) => turn.content)];
  if ($("temperature").value) asked.temperature = Number($("temperature").value);
  if ($("max-tokens").value) asked.max_tokens = Number($("max-tokens").value);
  return asked;
}

async function hear(turn, signal) {
  const said = { role: "assistant", content: "" };
  const begun = performance.now();
  const reply = await fetch("/v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(request()), signal });
  if (!reply.ok) {
    talk.pop();
    throw new Error((await reply.json()).error.message);
  }
  talk.push(said);
  let finish = null;
  let usage = null;
  let details = null;
  let first = 0;
  let isDue = false;
  const paint = () => {
    isDue = false;
    const area = $("talk");
    const follows = area.scrollHeight - area.scrollTop - area.clientHeight < 80;
    turn.children[0].replaceChildren(render(said.content));
    addCopyButtons(turn);
    if (follows) area.scrollTop = area.scrollHeight;
  };
  try {
    for await (const data of events(reply.body)) {
      if (data.error) throw new Error(data.error.message);
      usage = data.usage ?? usage;
      const choice = data.choices?.[0];
      if (!choice) continue;
      finish = choice.finish_reason ?? finish;
      details = choice.delta?.metadata ?? details;
      if (!choice.delta?.content) continue;
      first ||= performance.now();
      said.content += choice.delta.content;
      if (!isDue) {
        isDue = true;
        requestAnimationFrame(paint);
      }
    }
  } finally {
    paint();
  }
  foot(turn, reply, usage, first || begun);
  if (details?.sources) showSources(turn, details.sources);
  if (finish === "length") turn.children[1].append(element("div", words.cut));
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

function foot(turn, reply, usage, first) {
  const rung = reply.headers.get("x-luthier-rung");
  const parts = [`${words.answered_by} ${reply.headers.get("x-luthier-model")}`];
  if (rung) parts.push(`${words.rung} ${rung}`);
  const seconds = (performance.now() - first) / 1000;
  if (usage?.completion_tokens > 1 && seconds > 0) {
    parts.push(`${((usage.completion_tokens - 1) / seconds).toFixed(1)} ${words.tokens_per_second}`);
  }
  turn.children[1].append(parts.join(" · "));
}

function showSources(turn, sources) {
  const list = element("ol", ...sources.map((source) => element("li", typeof source === "string" ? source : source.title ?? source.id ?? JSON.stringify(source))));
  turn.children[1].append(element("details", element("summary", words.sources), list));
}

function addCopyButtons(turn) {
  for (const block of turn.querySelectorAll("pre")) {
    const button = element("button", words.copy);
    button.type = "button";
    const text = block.textContent;
    button.onclick = async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = words.copied;
    };
    block.append(button);
  }
}

begin();
