//! FLAC files as tests need them, where each block is one value: hours of it are a
//! few kilobytes.

/// What a file holds.
pub(crate) struct FlacFile {
    pub(crate) rate: u32,
    /// Samples in a block.
    pub(crate) block: u16,
    /// The value of each block.
    pub(crate) blocks: Vec<i16>,
}

impl FlacFile {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        for i in 0..self.blocks.len() {
            bytes.extend(self.frame(i));
        }
        bytes
    }

    /// The signature and the only block of metadata (RFC 9639, section 8.2).
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
        bytes.extend([self.block.to_be_bytes(), self.block.to_be_bytes()].concat());
        bytes.extend([0; 6]);
        let n_samples = u64::from(self.block) * self.blocks.len() as u64;
        // Rate, one channel, 16 bits, length.
        bytes.extend((u64::from(self.rate) << 44 | 15 << 36 | n_samples).to_be_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    /// One frame of a constant subframe (section 9).
    pub(crate) fn frame(&self, i: usize) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xF8, 0x70, 0x08];
        let number = char::from_u32(i as u32).expect("tests need few frames");
        bytes.extend(number.to_string().into_bytes());
        bytes.extend((self.block - 1).to_be_bytes());
        bytes.push(checksum(&bytes, 0x07, 8) as u8);
        bytes.push(0);
        bytes.extend(self.blocks[i].to_be_bytes());
        let sum = checksum(&bytes, 0x8005, 16) as u16;
        bytes.extend(sum.to_be_bytes());
        bytes
    }
}

/// A cyclic redundancy check of so many bits.
pub(crate) fn checksum(bytes: &[u8], polynomial: u32, n_bits: u32) -> u32 {
    let top = 1 << (n_bits - 1);
    let mut sum = 0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte) << (n_bits - 8);
        for _ in 0..8 {
            let carries = sum & top != 0;
            sum <<= 1;
            if carries {
                sum ^= polynomial;
            }
        }
    }
    sum & (top | (top - 1))
}
