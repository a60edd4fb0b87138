/**
 * Shapes as spans of pixels. A pixel belongs to a shape if its centre does, and each shape is emitted as
 * `emit(y, left, right)` with `right` exclusive; what lies outside of the image is cut off by whoever paints.
 */

/** @typedef {{x: number, y: number}} Point - In pixels; (0, 0) is the outer corner of the first pixel. */
/** @typedef {(y: number, left: number, right: number) => void} Emit */

/**
 * Where a brush of this size is: a thin one snaps to the centres of pixels, for otherwise it would hit none.
 *
 * @param {Point} point
 * @param {number} size - Diameter in pixels.
 * @returns {Point}
 */
export function brushCentre(point, size) {
  if (size >= 3) return point;
  if (size === 2) return { x: Math.round(point.x), y: Math.round(point.y) };
  return { x: Math.floor(point.x) + 0.5, y: Math.floor(point.y) + 0.5 };
}

/**
 * Everything within `radius` of the line from `a` to `b`: what a round brush covers on its way.
 *
 * @param {Point} a
 * @param {Point} b
 * @param {number} radius
 * @param {Emit} emit
 */
export function capsule(a, b, radius, emit) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = Math.hypot(dx, dy);
  // The long sides of the rectangle between the two discs, as its corners.
  const [nx, ny] = length ? [(-dy / length) * radius, (dx / length) * radius] : [0, 0];
  const corners = [
    { x: a.x + nx, y: a.y + ny },
    { x: b.x + nx, y: b.y + ny },
    { x: b.x - nx, y: b.y - ny },
    { x: a.x - nx, y: a.y - ny },
  ];
  const top = Math.floor(Math.min(a.y, b.y) - radius);
  const bottom = Math.ceil(Math.max(a.y, b.y) + radius);
  for (let y = top; y <= bottom; y++) {
    const centre = y + 0.5;
    let [left, right] = [Infinity, -Infinity];
    for (const disc of [a, b]) {
      const height = radius * radius - (centre - disc.y) ** 2;
      if (height < 0) continue;
      left = Math.min(left, disc.x - Math.sqrt(height));
      right = Math.max(right, disc.x + Math.sqrt(height));
    }
    if (length) {
      for (let i = 0; i < 4; i++) {
        const [p, q] = [corners[i], corners[(i + 1) % 4]];
        if (p.y === q.y || centre < Math.min(p.y, q.y) || centre > Math.max(p.y, q.y)) continue;
        const x = p.x + ((centre - p.y) / (q.y - p.y)) * (q.x - p.x);
        left = Math.min(left, x);
        right = Math.max(right, x);
      }
    }
    if (left <= right) emitCentres(y, left, right, emit);
  }
}

/**
 * The inside of a closed line; where it crosses itself, everything it winds around.
 *
 * @param {Point[]} points
 * @param {number} height - Of the image: rows outside of it are not looked at.
 * @param {Emit} emit
 */
export function polygon(points, height, emit) {
  const ys = points.map((point) => point.y);
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  for (let y = top; y <= bottom; y++) {
    const centre = y + 0.5;
    /** @type {{x: number, turn: number}[]} */
    const crossings = [];
    for (let i = 0; i < points.length; i++) {
      const [p, q] = [points[i], points[(i + 1) % points.length]];
      if (p.y <= centre === q.y <= centre) continue;
      const x = p.x + ((centre - p.y) / (q.y - p.y)) * (q.x - p.x);
      crossings.push({ x, turn: q.y > p.y ? 1 : -1 });
    }
    crossings.sort((one, other) => one.x - other.x);
    let winding = 0;
    let left = 0;
    for (const { x, turn } of crossings) {
      if (winding === 0) left = x;
      winding += turn;
      if (winding === 0) emitCentres(y, left, x, emit);
    }
  }
}

/**
 * @param {number} y
 * @param {number} left
 * @param {number} right
 * @param {Emit} emit
 */
function emitCentres(y, left, right, emit) {
  const first = Math.ceil(left - 0.5);
  const last = Math.floor(right - 0.5);
  if (first <= last) emit(y, first, last + 1);
}

/**
 * The pixels around a seed that have its label and, where brightness is given, nearly its brightness; connected by
 * their edges. `emit` must paint a label other than the seed's, which is how a pixel is known to be done.
 *
 * @param {{width: number, height: number, data: Uint8Array}} labels
 * @param {Point} seed - A pixel.
 * @param {{brightness: Uint8Array, tolerance: number} | null} limit
 * @param {Emit} emit
 */
export function flood({ width, height, data }, seed, limit, emit) {
  const start = seed.y * width + seed.x;
  const label = data[start];
  const [low, high] = limit
    ? [limit.brightness[start] - limit.tolerance, limit.brightness[start] + limit.tolerance]
    : [0, 255];
  const brightness = limit?.brightness;
  /** @param {number} i */
  const inside = (i) => data[i] === label && (!brightness || (brightness[i] >= low && brightness[i] <= high));
  const stack = [start];
  while (stack.length) {
    const at = /** @type {number} */ (stack.pop());
    if (!inside(at)) continue;
    const y = Math.floor(at / width);
    let left = at;
    let right = at + 1;
    while (left > y * width && inside(left - 1)) left--;
    while (right < (y + 1) * width && inside(right)) right++;
    emit(y, left - y * width, right - y * width);
    for (const step of [-width, width]) {
      if (y + Math.sign(step) < 0 || y + Math.sign(step) >= height) continue;
      let open = false;
      for (let i = left + step; i < right + step; i++) {
        const free = inside(i);
        if (free && !open) stack.push(i);
        open = free;
      }
    }
  }
}
