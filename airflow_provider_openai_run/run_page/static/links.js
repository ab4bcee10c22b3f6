// Airflow shows the page in a frame that may not open other pages; so the window around the frame opens them.

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target]");
  if (!link || parent === window) return;
  let outer;
  try {
    outer = parent.document;
  } catch {
    // Another site shows the page.
    return;
  }
  event.preventDefault();
  const copy = outer.createElement("a");
  copy.href = link.href;
  copy.rel = "noopener noreferrer";
  copy.target = link.target === "_blank" || event.ctrlKey || event.metaKey ? "_blank" : "_self";
  outer.body.append(copy);
  copy.click();
  copy.remove();
});
