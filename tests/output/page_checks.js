// What tests/output/test_browser.py asks of a page. Every function returns a list of problems in words.
({
  // Texts that are visible, as boxes of their lines, without what a scrolling box hides.
  overlaps() {
    const boxes = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const clip = ({left, right, top, bottom}, element) => {
      let box = {left, right, top, bottom};
      for (let parent = element; parent; parent = parent.parentElement) {
        if (getComputedStyle(parent).overflowX === "visible" || parent === document.body) continue;
        const frame = parent.getBoundingClientRect();
        box = {left: Math.max(box.left, frame.left), right: Math.min(box.right, frame.right),
          top: Math.max(box.top, frame.top), bottom: Math.min(box.bottom, frame.bottom)};
      }
      return box;
    };
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || element.closest("title, script, style") || !element.checkVisibility()) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const rectangles = element.closest("text") ? [element.closest("text").getBoundingClientRect()] : range.getClientRects();
      for (const rectangle of rectangles) {
        const box = clip(rectangle, element);
        if (box.right - box.left > 2 && box.bottom - box.top > 2) boxes.push({...box, owner: element.closest("text") ?? node, text: node.data.trim()});
      }
    }
    boxes.sort((a, b) => a.top - b.top);
    const problems = [];
    for (let i = 0; i < boxes.length; i++) {
      for (let j = i + 1; j < boxes.length && boxes[j].top < boxes[i].bottom - 2; j++) {
        const [a, b] = [boxes[i], boxes[j]];
        const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        if (a.owner !== b.owner && width > 2) problems.push(`"${a.text.slice(0, 30)}" meets "${b.text.slice(0, 30)}"`);
      }
    }
    return problems;
  },
  scroll() {
    const {scrollWidth, clientWidth} = document.documentElement;
    return scrollWidth > clientWidth ? [`the page is ${scrollWidth} pixels wide, the window ${clientWidth}`] : [];
  },
  // Drawings are named or hidden from screen readers; images have a text, or a caption beside them.
  alternatives() {
    const problems = [];
    for (const svg of document.querySelectorAll("svg:not(svg svg)")) {
      if (svg.getAttribute("aria-hidden") !== "true" && !svg.getAttribute("aria-label") && !svg.querySelector("[aria-label]"))
        problems.push(`a drawing has no text alternative: ${svg.outerHTML.slice(0, 60)}`);
    }
    for (const image of document.images) {
      if (!image.hasAttribute("alt") || (!image.alt && !image.closest("figure")?.textContent.trim()))
        problems.push(`an image has no text alternative: ${image.outerHTML.slice(0, 60)}`);
    }
    return problems;
  },
  markup() {
    const images = [...document.images].filter(image => !image.src.startsWith("data:image/"));
    return document.title === "1" || images.length ? ["a name has become markup"] : [];
  },
  texts() {
    return [...document.querySelectorAll("td, dd, li, figcaption, p, pre")].map(element => element.textContent.trim());
  },
})
