// The door: a token becomes a cookie, and one goes on to where one was going.

const refusal = document.getElementById("refusal");

document.getElementById("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  refusal.textContent = "";
  const token = document.getElementById("token").value;
  try {
    const response = await fetch("/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
    if (response.ok) {
      location.replace(wanted());
      return;
    }
    refusal.textContent = (await response.json()).error;
  } catch {
    refusal.textContent = "Troupe cannot be reached just now. 现在连接不上。";
  }
});

// Only addresses of this very house: what stands behind ?to= may have been written by anybody.
function wanted() {
  const to = new URLSearchParams(location.search).get("to") || "/";
  const address = new URL(to, location.origin);
  return address.origin === location.origin && address.protocol === location.protocol ? address.href : "/";
}
