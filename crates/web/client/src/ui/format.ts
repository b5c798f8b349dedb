// Numbers, spans of time and dates, for people.

/** `93 %`, and never `100 %` or `0 %` for what is not quite so. */
export function percent(share: number): string {
  if (share >= 0.9995) return "100 %";
  if (share > 0.99) return "> 99 %";
  if (share > 0 && share < 0.005) return "< 1 %";
  return `${Math.round(share * 100)} %`;
}

/** `4.2 s`, `1:05 min`, `1:00:00 h`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return `${clock(seconds)} ${seconds < 3600 ? "min" : "h"}`;
}

/** `0:07`, `12:34`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function kilohertz(hertz: number): string {
  return `${Number((hertz / 1000).toFixed(3))} kHz`;
}

export function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${Math.round(count / 1000)} KB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

export function many(count: number, one: string, several = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
}

/** `just now`, `5 min ago`, `14:05`, `3 Mar`. */
export function ago(then: number, now = Date.now()): string {
  const minutes = Math.round((now - then) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const date = new Date(then);
  if (new Date(now).toDateString() === date.toDateString()) return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return date.toLocaleDateString([], { day: "numeric", month: "short" });
}

/** What the server says in passing, standing alone. */
export function sentence(words: string): string {
  return `${words.charAt(0).toLocaleUpperCase()}${words.slice(1)}${words.endsWith(".") ? "" : "."}`;
}

/** What people call a class: the first letter large, underscores as spaces. */
export function title(label: string): string {
  const words = label.replaceAll("_", " ");
  return words.charAt(0).toLocaleUpperCase() + words.slice(1);
}
