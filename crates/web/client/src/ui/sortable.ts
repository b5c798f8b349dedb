// Sorting a table that came from the server by its head: each th with a
// <button> sorts by its column, by data-value where a cell has one.

export function sortable(table: HTMLTableElement): void {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  for (const [column, head] of heads.entries()) {
    head.querySelector("button")?.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      if (!body) return;
      const rows = [...body.rows];
      rows.sort((a, b) => compare(keyOf(a, column), keyOf(b, column)) * (descending ? -1 : 1));
      body.append(...rows);
    });
  }
}

function keyOf(row: HTMLTableRowElement, column: number): string {
  const cell = row.cells[column];
  return cell?.dataset["value"] ?? cell?.textContent?.trim() ?? "";
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** Numbers by size, the rest as people sort names; what is missing comes last. */
export function compare(a: string, b: string): number {
  if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
  const x = Number(a);
  const y = Number(b);
  return Number.isNaN(x) || Number.isNaN(y) ? collator.compare(a, b) : x - y;
}
