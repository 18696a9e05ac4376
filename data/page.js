for (const button of document.querySelectorAll("button.zoom")) {
  button.addEventListener("click", () => {
    const dialog = document.getElementById("enlarged");
    const content = button.firstElementChild.cloneNode(true);
    const caption = button.closest("figure")?.querySelector("figcaption")?.cloneNode(true);
    dialog.querySelector("div").replaceChildren(content, ...(caption ? [caption] : []));
    dialog.showModal();
  });
}
document.getElementById("enlarged")?.addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close();
});
