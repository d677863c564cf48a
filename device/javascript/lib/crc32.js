// The checksum of a line of the journal. zlib.crc32 is not in every Node 20.

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** CRC-32 of a text's UTF-8, as eight hexadecimal digits. */
export function crc32(text) {
  let sum = 0xffffffff;
  for (const byte of Buffer.from(text)) sum = table[(sum ^ byte) & 0xff] ^ (sum >>> 8);
  return ((sum ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}
