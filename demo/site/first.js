// Runs before anything is drawn: keeps calls to Cairn until its script is there, and repeats the
// visitor's earlier choice, so that already this page's first view is counted as they chose.
window.cairn=window.cairn||function(){(cairn.q=cairn.q||[]).push(arguments)};

(() => {
  let choice = null;
  try {
    choice = JSON.parse(localStorage.getItem("shop.choice"));
  } catch {
    // Without storage nobody chose anything.
  }
  if (choice && choice.analytics) cairn("consent", choice);
})();
