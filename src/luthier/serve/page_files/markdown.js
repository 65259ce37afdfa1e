// Markdown as models write it, into elements: text never becomes markup, so an answer cannot run anything.

const INLINE =
  /(`+)([\s\S]+?)\1(?!`)|\*\*([^\s*](?:[\s\S]*?[^\s*])?)\*\*|(?<![\w*])\*([^\s*](?:[^*]*?[^\s*])?)\*(?![\w*])|~~([\s\S]+?)~~|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/;

export function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function inline(text) {
  const made = document.createDocumentFragment();
  while (text) {
    const found = INLINE.exec(text);
    if (!found) break;
    made.append(text.slice(0, found.index), span(found));
    text = text.slice(found.index + found[0].length);
  }
  made.append(text);
  return made;
}

function span(found) {
  const [, , code, strong, emphasis, struck, label, address] = found;
  if (code !== undefined) return element("code", code.trim());
  if (strong !== undefined) return element("strong", inline(strong));
  if (emphasis !== undefined) return element("em", inline(emphasis));
  if (struck !== undefined) return element("del", inline(struck));
  const link = element("a", inline(label));
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

const FENCE = /^\s*(```+|~~~+)\s*([\w+#.-]*)\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const ROW = /^\s*\|.*\|\s*$/;
const RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

export function render(text) {
  const made = document.createDocumentFragment();
  const lines = text.split("\n");
  let at = 0;
  while (at < lines.length) {
    const [block, next] = blockAt(lines, at);
    if (block) made.append(block);
    at = next;
  }
  return made;
}

function blockAt(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence);
  const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
  if (heading) return [element(`h${Math.min(6, heading[1].length + 2)}`, inline(heading[2])), at + 1];
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return [element("hr"), at + 1];
  if (/^\s*>/.test(line)) return quoted(lines, at);
  if (ITEM.test(line)) return listed(lines, at);
  if (ROW.test(line) && RULE.test(lines[at + 1] ?? "")) return tabled(lines, at);
  return paragraph(lines, at);
}

function fenced(lines, at, fence) {
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end += 1;
  const code = element("code", lines.slice(at + 1, end).join("\n"));
  if (fence[2]) code.dataset.language = fence[2];
  return [element("pre", code), end + 1];
}

function quoted(lines, at) {
  let end = at;
  while (end < lines.length && /^\s*>/.test(lines[end])) end += 1;
  return [element("blockquote", render(lines.slice(at, end).map((line) => line.replace(/^\s*> ?/, "")).join("\n"))), end];
}

function listed(lines, at) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const list = element(/\d/.test(mark) ? "ol" : "ul");
  if (/\d/.test(mark)) list.start = parseInt(mark, 10);
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length !== indent.length || /\d/.test(item[2]) !== /\d/.test(mark)) break;
    const inner = [item[3]];
    at += 1;
    while (at < lines.length && (lines[at].startsWith(`${indent}  `) || (!lines[at].trim() && /^\s{2,}\S/.test(lines[at + 1] ?? "")))) {
      inner.push(lines[at].replace(new RegExp(`^${indent} {2,4}`), ""));
      at += 1;
    }
    const body = inner.length > 1 ? render(inner.join("\n")) : inline(inner[0]);
    list.append(element("li", body));
  }
  return [list, at];
}

function tabled(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const table = element("table", element("thead", element("tr", ...cells(lines[at]).map((cell) => element("th", inline(cell))))));
  const body = element("tbody");
  let end = at + 2;
  while (end < lines.length && ROW.test(lines[end])) {
    body.append(element("tr", ...cells(lines[end]).map((cell) => element("td", inline(cell)))));
    end += 1;
  }
  table.append(body);
  return [table, end];
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !FENCE.test(lines[end]) && !ITEM.test(lines[end]) && !/^(#{1,6}\s|\s*>)/.test(lines[end])) end += 1;
  const made = element("p");
  lines.slice(at, end).forEach((line, number) => {
    if (number) made.append(element("br"));
    made.append(inline(line));
  });
  return [made, end];
}
