// The microphone as samples: permission, device, the worklet, and each way in
// which that can fail in words for people. What becomes of the samples is the
// business of classify/recorder.ts and classify/live.ts.

export type CaptureProblem = "insecure" | "unsupported" | "denied" | "no-device" | "in-use" | "failed";

export class CaptureError extends Error {
  constructor(readonly problem: CaptureProblem, readonly heading: string, message: string) {
    super(message);
  }
}

export interface Capture {
  /** Samples per second that come in: the device's own rate. */
  readonly rate: number;
  readonly deviceLabel: string;
  /** Resolves when the last block has been handed over. */
  stop(): Promise<void>;
}

/** What speaks against recording on this page, known before asking anybody. */
export function obstacle(): CaptureError | undefined {
  if (!window.isSecureContext) {
    return new CaptureError(
      "insecure",
      "This address is not secure, so the browser keeps the microphone closed",
      "Browsers give the microphone to https pages and to localhost only. Open this page over https: whoever runs the server can start it with --tls self-signed, which prints an address and a QR code for phones. Uploading files works here all the same.",
    );
  }
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    return new CaptureError("unsupported", "This browser cannot record here", "It lacks what recording needs (getUserMedia and AudioWorklet). A current Chrome, Firefox, Edge or Safari has it. Uploading files works here all the same.");
  }
  return undefined;
}

export async function microphones(): Promise<MediaDeviceInfo[]> {
  if (obstacle()) return [];
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId !== "");
}

/**
 * Opens the microphone; `onBlock` gets every sample from now until `stop`. What `signal`
 * calls off before it is open is closed as soon as the browser gives it.
 */
export async function openMicrophone(deviceId: string, onBlock: (samples: Float32Array<ArrayBuffer>) => void, onLost: () => void, signal: AbortSignal): Promise<Capture> {
  const problem = obstacle();
  if (problem) throw problem;
  const stream = await open(deviceId);
  const track = stream.getAudioTracks()[0];
  if (!track) throw new CaptureError("no-device", "No microphone was found", "The browser opened a device without sound.");
  const hangUp = (): void => track.stop();
  signal.addEventListener("abort", hangUp);
  try {
    signal.throwIfAborted();
    const { context, node } = await tap(stream, track, signal);
    let closed = false;
    track.addEventListener("ended", () => !closed && onLost());
    const finished = new Promise<void>((resolve) => {
      node.port.onmessage = ({ data }: MessageEvent<{ samples: Float32Array<ArrayBuffer>; last: boolean }>) => {
        if (data.samples.length > 0) onBlock(data.samples);
        if (data.last) resolve();
      };
    });
    return {
      rate: context.sampleRate,
      deviceLabel: track.label,
      async stop() {
        closed = true;
        node.port.postMessage("stop");
        // A lost device can leave the audio thread without an answer.
        await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, 500))]);
        track.stop();
        void context.close();
      },
    };
  } catch (error) {
    track.stop();
    throw error instanceof CaptureError ? error : new CaptureError("failed", "Recording could not start", String(error));
  } finally {
    signal.removeEventListener("abort", hangUp);
  }
}

async function open(deviceId: string): Promise<MediaStream> {
  // What telephony does to voices (cancel, suppress, level) ruins animals.
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const audio: MediaTrackConstraints = deviceId ? { ...plain, deviceId: { exact: deviceId } } : plain;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw explain(error as DOMException);
  }
}

function explain(error: DOMException): CaptureError {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new CaptureError("denied", "The browser was told not to let this page use the microphone", "Allow it in the address bar (the icon beside the address, then Microphone: Allow), then try again. On a phone, also check that the browser itself may use the microphone, in the phone's settings.");
    case "NotFoundError":
    case "OverconstrainedError":
      return new CaptureError("no-device", "No microphone was found", "Plug one in or switch it on, then try again. If another microphone is chosen in the list, choose one that is there.");
    case "NotReadableError":
    case "AbortError":
      return new CaptureError("in-use", "The microphone does not answer", "Another program may be using it. Close that program, or choose another microphone, and try again.");
    default:
      return new CaptureError("failed", "Recording could not start", `${error.name}: ${error.message}`);
  }
}

async function tap(stream: MediaStream, track: MediaStreamTrack, signal: AbortSignal): Promise<{ context: AudioContext; node: AudioWorkletNode }> {
  const rate = track.getSettings().sampleRate;
  // A context at the device's rate spares a resampling. Firefox tells no rate
  // and takes microphones only at the context's default, which is the device's.
  const context = rate ? new AudioContext({ sampleRate: rate, latencyHint: "interactive" }) : new AudioContext();
  try {
    await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url).href);
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    context.createMediaStreamSource(stream).connect(node);
    if (context.state === "suspended") await context.resume();
    signal.throwIfAborted();
    return { context, node };
  } catch (error) {
    void context.close();
    throw error;
  }
}
