// The shapes of the HTTP API (`/api/v1/…`), as the server's OpenAPI says them.

export interface Scored {
  label: string;
  probability: number;
}

export interface ScoredWindow {
  start_seconds: number;
  end_seconds: number;
  predictions: Scored[];
}

export interface Model {
  name: string;
  version: number | string | null;
  alias: string | null;
  run_id: string | null;
  labels: string[];
  threshold: number | null;
  sample_rate_hz: number;
  window_seconds: number;
}

export interface Spectrogram {
  n_mels: number;
  n_frames: number;
  hop_seconds: number;
  fmin_hz: number;
  fmax_hz: number;
  mel_scale: string;
  /** Base64: one byte per band and frame, a row per band, lowest first. */
  data: string;
}

export interface Answer {
  predictions: Scored[];
  accepted: boolean;
  windows: ScoredWindow[];
  model: Model;
  clip: { filename: string; duration_seconds: number; sample_rate_hz: number; warnings: string[] };
  latency_ms: { decode: number; predict: number; total: number };
  view?: { peaks: [number, number][]; spectrogram: Spectrogram };
}

export interface Failure {
  code: string;
  message: string;
}

export interface Example {
  name: string;
  label?: string | null;
  title?: string | null;
  duration_seconds?: number | null;
  /** Where it comes from, in plain words. */
  source?: string;
}

export type LiveMessage =
  | { type: "ready"; model: Model; hop_seconds: number; window_seconds: number }
  | { type: "columns"; start_seconds: number; hop_seconds: number; n_mels: number; data: string }
  | { type: "window"; start_seconds: number; end_seconds: number; predictions: Scored[]; accepted: boolean }
  | { type: "dropped"; start_seconds: number; seconds: number }
  | { type: "model"; model: Model }
  | { type: "error"; error: Failure };
