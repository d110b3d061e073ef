// @ts-check
// Sends a form once, however often its button is pressed. The server tolerates repetitions.

for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("form[data-once]"))) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    const button = /** @type {HTMLElement} */ (form.querySelector("[data-busy]"));
    button.textContent = button.dataset.busy ?? "";
    button.setAttribute("aria-disabled", "true");
  });
}
