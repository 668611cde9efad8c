// Changes which dynamic loader an ELF program asks for.

const PHOFF = 32;
const PHENTSIZE = 54;
const PHNUM = 56;
const PT_INTERP = 3;
const P_OFFSET = 8;
const P_FILESZ = 32;
const ELF64_LITTLE_ENDIAN = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

/**
 * A copy of the 64-bit program `elf` that names `loader`. The kernel reads the name from the file and not from memory, so
 * it is appended and the program header points there: nothing moves, and the name may have any length.
 */
export function withInterpreter(elf, loader) {
  if (!elf.subarray(0, 6).equals(ELF64_LITTLE_ENDIAN)) throw new Error('not a 64-bit little-endian ELF file');
  const name = Buffer.from(`${loader}\0`);
  const result = Buffer.concat([elf, name]);
  const table = Number(elf.readBigUInt64LE(PHOFF));
  for (let i = 0; i < elf.readUInt16LE(PHNUM); i++) {
    const header = table + i * elf.readUInt16LE(PHENTSIZE);
    if (elf.readUInt32LE(header) !== PT_INTERP) continue;
    result.writeBigUInt64LE(BigInt(elf.length), header + P_OFFSET);
    result.writeBigUInt64LE(BigInt(name.length), header + P_FILESZ);
    return result;
  }
  throw new Error('the program has no interpreter to change');
}
