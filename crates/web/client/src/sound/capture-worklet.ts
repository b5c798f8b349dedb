// Runs on the browser's audio thread: mixes the microphone's channels to their
// mean, as the server does with files, and hands over blocks of samples at the
// device's own rate. Everything else happens on the page (capture.ts).

/** 21 ms at 48 kHz: quick enough for a level meter, rare enough for a phone. */
const BLOCK = 1024;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;
  #running = true;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#running = false;
      const rest = this.#block.slice(0, this.#filled);
      this.port.postMessage({ samples: rest, last: true }, [rest.buffer]);
    };
  }

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0] ?? [];
    const first = channels[0];
    if (!this.#running || !first) return this.#running;
    for (let i = 0; i < first.length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i] ?? 0;
      this.#block[this.#filled] = sum / channels.length;
      this.#filled += 1;
      if (this.#filled === BLOCK) this.#send();
    }
    return true;
  }

  #send(): void {
    const block = this.#block;
    this.#block = new Float32Array(BLOCK);
    this.#filled = 0;
    this.port.postMessage({ samples: block, last: false }, [block.buffer]);
  }
}

registerProcessor("capture", Capture);
