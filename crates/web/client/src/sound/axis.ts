// Round steps for a time axis.

const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

/** The step that leaves at least `gap` pixels between labels. */
export function timeStep(seconds: number, pixels: number, gap: number): number {
  return STEPS.find((step) => (step / seconds) * pixels >= gap) ?? 14_400;
}

export function timeLabel(seconds: number, step: number): string {
  if (step < 1) return `${seconds.toFixed(step < 0.1 ? 2 : 1)} s`;
  if (seconds < 60 && step < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const tail = `${Math.floor(whole / 60) % 60}`.padStart(whole >= 3600 ? 2 : 1, "0") + `:${String(whole % 60).padStart(2, "0")}`;
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${tail}` : tail;
}
