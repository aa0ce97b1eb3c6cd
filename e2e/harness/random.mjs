// Random values that can be had again: the seed is printed, and SEED=n in the environment repeats a run.

// `t` is the context of a test.
export function seededRandom(t) {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`SEED=${seed}`);
  return new Random(seed);
}

class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  // mulberry32: a uniform number in [0, 1).
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  below(n) {
    return Math.floor(this.next() * n);
  }

  chance(probability) {
    return this.next() < probability;
  }

  pick(values) {
    return values[this.below(values.length)];
  }

  // Small numbers are as likely as large ones: the logarithm is uniform.
  size(below) {
    return Math.floor(below ** this.next());
  }

  bytes(length) {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  // `length` characters of one to four bytes.
  text(length) {
    const bound = () => this.pick([0x80, 0x800, 0xd800, 0x110000]);
    const codePoint = () => {
      const value = this.below(bound());
      return value >= 0xd800 && value < 0xe000 ? 0xfffd : value;
    };
    return String.fromCodePoint(...Array.from({ length }, codePoint));
  }
}
