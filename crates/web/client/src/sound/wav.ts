// Writing WAV files: mono, 24-bit PCM. 24 bits hold what any microphone gives
// (a 16-bit one exactly), every program reads them, and they take three
// quarters of the bytes of floats.

export const BYTES_PER_SAMPLE = 3;

export function encodeWav(blocks: readonly Float32Array[], rate: number): Blob {
  const nSamples = blocks.reduce((sum, block) => sum + block.length, 0);
  const nBytes = nSamples * BYTES_PER_SAMPLE;
  const padding = nBytes % 2;
  const file = new DataView(new ArrayBuffer(44 + nBytes + padding));
  const text = (at: number, word: string): void => {
    for (let i = 0; i < word.length; i += 1) file.setUint8(at + i, word.charCodeAt(i));
  };
  text(0, "RIFF");
  file.setUint32(4, 36 + nBytes + padding, true);
  text(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true); // PCM
  file.setUint16(22, 1, true); // one channel
  file.setUint32(24, rate, true);
  file.setUint32(28, rate * BYTES_PER_SAMPLE, true);
  file.setUint16(32, BYTES_PER_SAMPLE, true);
  file.setUint16(34, 24, true);
  text(36, "data");
  file.setUint32(40, nBytes, true);
  const bytes = new Uint8Array(file.buffer);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      const level = Math.max(-8_388_608, Math.min(8_388_607, Math.round(sample * 8_388_608)));
      bytes[at] = level;
      bytes[at + 1] = level >> 8;
      bytes[at + 2] = level >> 16;
      at += BYTES_PER_SAMPLE;
    }
  }
  return new Blob([file.buffer], { type: "audio/wav" });
}
