// A form is sent once, however often its button is pressed. The server would not mind.

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    const button = form.querySelector("[data-busy]");
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
  });
}
