// The mel scale, to label the axis of spectrograms: Slaney's and HTK's, as in
// the audio crate's mel.rs.

export function hertzToMel(hertz: number, scale: string): number {
  if (scale === "htk") return 2595 * Math.log10(1 + hertz / 700);
  return hertz < 1000 ? (3 * hertz) / 200 : 15 + Math.log(hertz / 1000) / (Math.log(6.4) / 27);
}

/** Where to write which frequency: height from the bottom, as a share. */
export function frequencyTicks(fmin: number, fmax: number, scale: string): { share: number; text: string }[] {
  const [low, high] = [hertzToMel(fmin, scale), hertzToMel(fmax, scale)];
  const ticks = [500, 1000, 2000, 4000, 8000, 16000];
  return ticks
    .map((hertz) => ({ share: (hertzToMel(hertz, scale) - low) / (high - low), text: hertz < 1000 ? `${hertz}` : `${hertz / 1000}k` }))
    .filter(({ share }) => share > 0.04 && share < 0.97);
}
