#!/bin/sh
# Makes the sound files of this folder, for which Rust has no encoders: two pure
# tones, 440 Hz at 0.5 on the left and 1000 Hz at 0.25 on the right, 16 kHz.
# What made them is written to `made_with.txt`.
set -eu
cd "$(dirname "$0")"

make() {
    seconds=$1
    shift
    ffmpeg -nostdin -v error -y -f lavfi \
        -i "aevalsrc=0.5*sin(2*PI*440*t)|0.25*sin(2*PI*1000*t):s=16000:d=$seconds" \
        -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@"
}

make 0.1 -c:a flac -sample_fmt s16 -frame_size 512 tone.flac
make 0.5 -c:a libmp3lame -b:a 64k tone.mp3
make 0.5 -c:a libvorbis -q:a 2 -page_duration 50000 tone.ogg
make 0.5 -c:a libopus -b:a 32k tone.opus
make 0.5 -c:a aac -b:a 64k tone.m4a
make 0.5 -c:a aac -b:a 64k -f adts tone.aac
make 0.1 -c:a alac -sample_fmt s16p tone_alac.m4a
make 0.5 -c:a adpcm_ima_wav tone_ima.wav
make 0.5 -c:a adpcm_ms tone_ms.wav
make 0.5 -c:a libmp3lame -b:a 64k tone_mp3.wav
make 0.14 -c:a pcm_s16be tone.aiff
make 0.14 -c:a pcm_s16le -f aiff tone_sowt.aiff
make 0.07 -c:a pcm_f32be -f aiff tone_float.aiff
make 0.14 -c:a pcm_alaw -f aiff tone_alaw.aiff
make 0.25 -c:a pcm_alaw tone_alaw.wav
make 0.25 -c:a pcm_mulaw tone_mulaw.wav
ffmpeg -version | head -n 1 | cut -d ' ' -f 1-3 >made_with.txt
