// Files that the page itself makes: tables and recordings.
import { h } from "./dom";

export function download(content: Blob, filename: string): void {
  const url = URL.createObjectURL(content);
  const link = h("a", { href: url, download: filename });
  document.body.appendChild(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** RFC 4180; a leading = + - @ is defused, because spreadsheets would run it. */
export function csv(rows: readonly (readonly (string | number | boolean)[])[]): Blob {
  const cell = (value: string | number | boolean): string => {
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = rows.map((row) => row.map(cell).join(","));
  return new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" });
}

/** `2026-03-01-142233`, for names of files. */
export function stamp(date = new Date()): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}
