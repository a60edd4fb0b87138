/** Mouse, pen and fingers on the canvas: one paints, two move the picture, the wheel zooms. */

/** @typedef {import("./view.js").View} View */
/** @typedef {import("./shapes.js").Point} Point */
/**
 * @typedef {object} Pen - What follows the pointer that paints; places are in the image.
 * @property {(point: Point, pressure: number, erasing: boolean) => void} down
 * @property {(point: Point, pressure: number) => void} move
 * @property {() => void} up
 * @property {() => void} cancel
 * @property {(place: Point | null) => void} hover - Where the pointer is on the canvas.
 * @property {() => void} seen - A pen was used, which feels pressure.
 */

/** Buttons of mouse and pen that erase: the right one, and the other end of some pens. */
const ERASING = [2, 5];

/**
 * @param {View} view
 * @param {Pen} pen
 */
export function listen(view, pen) {
  const { canvas } = view;
  /** @type {Map<number, Point>} */
  const touching = new Map();
  /** @type {number | null} */
  let painting = null;
  /** @type {number | null} */
  let panning = null;
  let spaceDown = false;
  let penSeen = false;

  /**
   * @param {{clientX: number, clientY: number}} event
   * @returns {Point}
   */
  const placeOf = ({ clientX, clientY }) => {
    const { left, top } = canvas.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  };

  /** @param {PointerEvent} event */
  const pressureOf = (event) => (event.pointerType === "pen" && event.pressure ? 0.25 + event.pressure : 1);

  /** Centre and spread of the fingers. */
  const grip = () => {
    const [a, b] = [...touching.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, spread: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) };
  };

  canvas.addEventListener("pointerdown", (event) => {
    const place = placeOf(event);
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    touching.set(event.pointerId, place);
    if (event.pointerType === "pen" && !penSeen) {
      penSeen = true;
      pen.seen();
    }
    if (touching.size === 2 && event.pointerType === "touch") {
      if (painting !== null) pen.cancel();
      painting = panning = null;
    } else if (touching.size > 1) {
      return;
    } else if (spaceDown || event.button === 1 || (event.pointerType === "touch" && penSeen)) {
      panning = event.pointerId;
      canvas.classList.add("panning");
    } else {
      painting = event.pointerId;
      pen.down(view.toImage(place), pressureOf(event), ERASING.includes(event.button));
    }
    pen.hover(event.pointerType === "touch" ? null : place);
  });

  canvas.addEventListener("pointermove", (event) => {
    const place = placeOf(event);
    const before = touching.get(event.pointerId);
    if (event.pointerType !== "touch") pen.hover(place);
    if (!before) return;
    if (event.pointerId === painting) {
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) pen.move(view.toImage(placeOf(step)), pressureOf(step));
    } else if (event.pointerId === panning) {
      view.pan(place.x - before.x, place.y - before.y);
    } else if (touching.size === 2) {
      const old = grip();
      touching.set(event.pointerId, place);
      const now = grip();
      view.pan(now.x - old.x, now.y - old.y);
      view.zoom(now.spread / old.spread, now);
    }
    touching.set(event.pointerId, place);
  });

  /** @param {PointerEvent} event */
  const release = (event) => {
    touching.delete(event.pointerId);
    if (event.pointerId === painting) {
      painting = null;
      if (event.type === "pointercancel") pen.cancel();
      else pen.up();
    }
    if (event.pointerId === panning) {
      panning = null;
      canvas.classList.remove("panning");
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => pen.hover(null));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 24 : 1;
      if (event.shiftKey) return view.pan(-lines * (event.deltaX || event.deltaY), 0);
      // Two fingers on a touchpad that pinch arrive as a wheel with Ctrl, in small steps.
      const speed = event.ctrlKey ? 0.01 : 0.0018;
      view.zoom(Math.exp(-Math.max(-400, Math.min(400, lines * event.deltaY)) * speed), placeOf(event));
    },
    { passive: false },
  );

  return {
    /** @param {boolean} down - Space is held: the pointer moves the picture. */
    hold(down) {
      spaceDown = down;
      canvas.classList.toggle("grab", down);
    },
    /** Whether a stroke is being made. */
    get busy() {
      return painting !== null;
    },
  };
}
