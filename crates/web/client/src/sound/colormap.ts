// Colors of loudness. By day a printed sonogram, ink on paper; by night light in
// the dark. Both get steadily darker or lighter, so that they also work for
// people who do not tell hues apart.
import { isDark } from "../ui/theme";

type Stop = readonly [number, number, number];
const DAY: readonly Stop[] = [[247, 244, 235], [238, 236, 222], [216, 223, 202], [164, 194, 165], [92, 148, 117], [36, 96, 76], [12, 56, 48], [5, 30, 28]];
const NIGHT: readonly Stop[] = [[11, 17, 15], [14, 32, 30], [18, 58, 53], [27, 96, 80], [62, 138, 92], [134, 176, 92], [222, 208, 112], [255, 247, 214]];

const tables = new Map<boolean, Uint32Array>();

/** For each byte of a spectrogram the pixel, as canvases hold them in memory. */
export function colormap(): Uint32Array {
  const dark = isDark();
  const known = tables.get(dark);
  if (known) return known;
  const stops = dark ? NIGHT : DAY;
  const table = new Uint32Array(256);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const below = stops[Math.floor(place)] ?? DAY[0]!;
    const above = stops[Math.min(stops.length - 1, Math.floor(place) + 1)] ?? below;
    const share = place % 1;
    const mix = (channel: 0 | 1 | 2): number => Math.round(below[channel] + (above[channel] - below[channel]) * share);
    table[level] = (255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0);
  }
  tables.set(dark, table);
  return table;
}

export function fromBase64(text: string): Uint8Array {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}
