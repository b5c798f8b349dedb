// Sends the chosen file and shows the answer as it comes.
const form = document.querySelector("#classify");
const answer = document.querySelector("#answer");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = form.querySelector("input[type=file]").files[0];
  if (!file) return;
  answer.textContent = "…";
  const url = `/api/v1/classify?filename=${encodeURIComponent(file.name)}`;
  const reply = await (await fetch(url, { method: "POST", body: file })).json();
  answer.textContent = reply.error
    ? reply.error.message
    : reply.predictions.map((one) => `${one.label} ${(100 * one.probability).toFixed(1)} %`).join(", ");
});
