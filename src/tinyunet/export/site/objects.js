// From probabilities to objects: tinyunet.objects.decode, with the same numbers in the same order.

/**
 * @typedef {object} ObjectRule
 * @property {number} core_probability
 * @property {number} foreground_probability
 * @property {number} split_probability
 * @property {number} smallest_seed_px
 * @property {number} smallest_px
 */

/**
 * Ids of objects, 0 for background, numbered from 1 in the order of their first pixels.
 * @param {Float32Array} core Probability of the core.
 * @param {Float32Array} foreground Probability of rim and core together.
 * @param {number} height
 * @param {number} width
 * @param {ObjectRule} rule
 * @returns {{ids: Int32Array, count: number}}
 */
export function decodeObjects(core, foreground, height, width, rule) {
  const least = Math.fround(rule.foreground_probability); // probabilities are float32, and so are these bounds
  const inside = Uint8Array.from(foreground, (p) => Number(p >= least));
  const seeds = findSeeds(core, inside, height, width, rule);
  const pieces = label(inside, height, width);
  const pieceOf = new Int32Array(seeds.count + 1);
  for (let i = 0; i < core.length; i++) if (seeds.ids[i]) pieceOf[seeds.ids[i]] = pieces.ids[i];
  const held = new Int32Array(pieces.count + 1);
  const alone = new Int32Array(pieces.count + 1);
  for (let seed = 1; seed <= seeds.count; seed++) {
    held[pieceOf[seed]] += 1;
    alone[pieceOf[seed]] = seed;
  }
  // A piece with one seed is one object; only where there are more is a watershed worth its time.
  const shared = Uint8Array.from(pieces.ids, (piece) => Number(held[piece] > 1));
  const marked = Int32Array.from(seeds.ids, (seed, i) => (shared[i] ? seed : 0));
  const grown = grow(core, marked, shared, width);
  for (let i = 0; i < grown.length; i++) if (!shared[i]) grown[i] = alone[pieces.ids[i]];
  return renumber(grown, seeds.count, rule.smallest_px);
}

/**
 * One seed for each object.
 * @param {Float32Array} core
 * @param {Uint8Array} inside
 * @param {number} height
 * @param {number} width
 * @param {ObjectRule} rule
 */
function findSeeds(core, inside, height, width, rule) {
  /** @param {number} bound */
  const above = (bound) => {
    const least = Math.fround(bound);
    return label(core.map((p, i) => Number(p >= least && inside[i] > 0)), height, width);
  };
  const seeds = keepLarge(above(rule.core_probability), rule.smallest_seed_px);
  if (rule.split_probability <= rule.core_probability) return seeds;
  const parts = keepLarge(above(rule.split_probability), rule.smallest_seed_px);
  const parent = new Int32Array(parts.count + 1);
  for (let i = 0; i < core.length; i++) if (parts.ids[i]) parent[parts.ids[i]] = seeds.ids[i];
  const held = new Int32Array(seeds.count + 1);
  for (let part = 1; part <= parts.count; part++) held[parent[part]] += 1;
  // Seeds that are not split keep their order and come first, then the parts of the others.
  const numbers = new Int32Array(seeds.count + parts.count + 1);
  let count = 0;
  for (let seed = 1; seed <= seeds.count; seed++) if (held[seed] <= 1) numbers[seed] = ++count;
  for (let part = 1; part <= parts.count; part++) {
    if (held[parent[part]] > 1) numbers[seeds.count + part] = ++count;
  }
  const ids = seeds.ids.map((seed, i) => {
    if (held[seed] <= 1 || seed === 0) return numbers[seed];
    return parts.ids[i] ? numbers[seeds.count + parts.ids[i]] : 0;
  });
  return { ids, count };
}

/**
 * Connected pieces, along rows and columns, numbered from 1 in the order of their first pixels.
 * @param {ArrayLike<number>} mask
 * @param {number} height
 * @param {number} width
 */
export function label(mask, height, width) {
  const ids = new Int32Array(height * width);
  const waiting = new Int32Array(height * width);
  let count = 0;
  for (let first = 0; first < ids.length; first++) {
    if (!mask[first] || ids[first]) continue;
    ids[first] = ++count;
    waiting[0] = first;
    for (let left = 1; left > 0; ) {
      const pixel = waiting[--left];
      const x = pixel % width;
      for (const neighbour of [
        pixel - width,
        x > 0 ? pixel - 1 : -1,
        x < width - 1 ? pixel + 1 : -1,
        pixel + width,
      ]) {
        if (neighbour < 0 || neighbour >= ids.length || !mask[neighbour] || ids[neighbour]) continue;
        ids[neighbour] = count;
        waiting[left++] = neighbour;
      }
    }
  }
  return { ids, count };
}

/**
 * Pieces of no fewer pixels, numbered anew.
 * @param {{ids: Int32Array, count: number}} pieces
 * @param {number} smallest
 */
function keepLarge({ ids, count }, smallest) {
  const sizes = new Int32Array(count + 1);
  for (const id of ids) sizes[id] += 1;
  const numbers = new Int32Array(count + 1);
  let kept = 0;
  for (let id = 1; id <= count; id++) if (sizes[id] >= smallest) numbers[id] = ++kept;
  return { ids: ids.map((id) => numbers[id]), count: kept };
}

/**
 * The watershed of -P(core) from seeds: the most probable core first, of equally probable ones the earlier found.
 * @param {Float32Array} core
 * @param {Int32Array} seeds
 * @param {Uint8Array} mask
 * @param {number} width
 */
function grow(core, seeds, mask, width) {
  const out = seeds.slice();
  /** @param {number} pixel @param {number} x */
  const surrounded = (pixel, x) =>
    (pixel < width || seeds[pixel - width] > 0) &&
    (pixel >= core.length - width || seeds[pixel + width] > 0) &&
    (x === 0 || seeds[pixel - 1] > 0) &&
    (x === width - 1 || seeds[pixel + 1] > 0);
  const queue = new Queue(core.length); // every pixel waits once at most
  for (let pixel = 0; pixel < core.length; pixel++) {
    // The inner pixels of seeds, most of them, have nothing to grow into.
    if (seeds[pixel] > 0 && !surrounded(pixel, pixel % width)) queue.push(pixel, -core[pixel], 0);
  }
  let age = 0;
  while (queue.size > 0) {
    const [pixel, height] = queue.pop();
    const x = pixel % width;
    for (let side = 0; side < 4; side++) {
      if ((side === 1 && x === 0) || (side === 2 && x === width - 1)) continue;
      const neighbour = pixel + (side === 0 ? -width : side === 1 ? -1 : side === 2 ? 1 : width);
      if (neighbour < 0 || neighbour >= core.length || !mask[neighbour] || out[neighbour]) continue;
      out[neighbour] = out[pixel];
      queue.push(neighbour, Math.max(height, -core[neighbour]), ++age); // water does not fall again
    }
  }
  return out;
}

/** Pixels, of which the one that is flooded first comes first, and of equal ones that which has waited longest. */
class Queue {
  /** @param {number} most Pixels that may wait. */
  constructor(most) {
    this.size = 0;
    this.pixels = new Int32Array(most);
    this.ages = new Int32Array(most);
    this.heights = new Float32Array(most);
  }

  /** @param {number} pixel @param {number} height @param {number} age */
  push(pixel, height, age) {
    let child = this.size++;
    this.pixels[child] = pixel;
    this.heights[child] = height;
    this.ages[child] = age;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.before(child, parent)) break;
      this.swap(child, parent);
      child = parent;
    }
  }

  /** The first pixel, and how high the water stood there. */
  pop() {
    const first = [this.pixels[0], this.heights[0]];
    this.size -= 1;
    this.swap(0, this.size);
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1;
      let least = parent;
      if (left < this.size && this.before(left, least)) least = left;
      if (left + 1 < this.size && this.before(left + 1, least)) least = left + 1;
      if (least === parent) return first;
      this.swap(parent, least);
      parent = least;
    }
  }

  /** @param {number} i @param {number} j */
  before(i, j) {
    const { heights, ages } = this;
    return heights[i] !== heights[j] ? heights[i] < heights[j] : ages[i] < ages[j];
  }

  /** @param {number} i @param {number} j */
  swap(i, j) {
    const { pixels, heights, ages } = this;
    [pixels[i], pixels[j]] = [pixels[j], pixels[i]];
    [heights[i], heights[j]] = [heights[j], heights[i]];
    [ages[i], ages[j]] = [ages[j], ages[i]];
  }
}

/**
 * Ids without gaps in the order in which objects are met; small ones become background.
 * @param {Int32Array} ids
 * @param {number} most
 * @param {number} smallest
 */
function renumber(ids, most, smallest) {
  const sizes = new Int32Array(most + 1);
  for (const id of ids) sizes[id] += 1;
  const numbers = new Int32Array(most + 1);
  let count = 0;
  const renumbered = ids.map((id) => {
    if (id === 0 || sizes[id] < smallest) return 0;
    return (numbers[id] ||= ++count);
  });
  return { ids: renumbered, count };
}
