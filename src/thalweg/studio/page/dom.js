// Elements made from words: whatever is given as a child is text, so nothing of it is ever read as markup.

export const h = (tag, attributes = {}, ...children) => put(document.createElement(tag), attributes, ...children);

export const put = (element, attributes = {}, ...children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") element[name] = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

// A choice among [value, words], which may stand in groups: {group: [[value, words], …]}.
export const choice = (options, value, change, attributes = {}) => {
  const item = ([key, words]) => h("option", { value: key }, words);
  const groups = Array.isArray(options)
    ? options.map(item)
    : Object.entries(options).map(([label, each]) => h("optgroup", { label }, each.map(item)));
  const select = h("select", { ...attributes, onchange: () => change(select.value) }, groups);
  select.value = value;
  return select;
};

// A table in a container that scrolls by itself; `rows` are elements.
export const tableOf = (label, heads, rows, attributes = {}) =>
  h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, h("table", attributes,
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows)));

// A place for the sentence of what went wrong: `attempt` makes of work that may fail one that says so there.
export const complaint = () => {
  const element = h("p", { class: "trouble", role: "alert", hidden: true });
  const complain = (words) => { element.textContent = words; element.hidden = !words; };
  const attempt = (work) => async (...given) => { complain(""); try { await work(...given); } catch (error) { complain(error.message); } };
  return { element, complain, attempt };
};

// Copies a text, and says so on the button for a while.
export const copier = (words, done, text) => {
  const button = h("button", {
    type: "button",
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text());
      } catch { // no permission, or an old browser: the text is shown, selected, to be copied by hand
        const field = h("textarea", { class: "copied", "aria-label": words, readonly: true }, text());
        button.after(field);
        field.select();
        field.addEventListener("blur", () => field.remove());
        document.execCommand?.("copy");
      }
      button.textContent = done;
      setTimeout(() => (button.textContent = words), 1500);
    },
  }, words);
  return button;
};

// A canvas that is as sharp as the screen, and calls `draw(context, width, height)` when its place changes size.
export const sheet = (canvas, draw) => {
  const paint = () => {
    const { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
    if (!width || !height) return;
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height, scale);
  };
  new ResizeObserver(paint).observe(canvas);
  return paint;
};
