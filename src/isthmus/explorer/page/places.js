// Points near a place, and beside a point.

/**
 * The nearest point to a place, or -1.
 * @param {number} count of the points
 * @param {(i: number) => number[]} at the place of a point
 * @param {number[]} place
 * @param {number} within the largest distance
 */
export function nearest(count, at, [x, y], within) {
  let found = -1;
  let least = within ** 2;
  for (let i = 0; i < count; i++) {
    const [px, py] = at(i);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [found, least] = [i, distance];
  }
  return found;
}

/**
 * The nearest point from a point in a direction; itself if there is none.
 * @param {number} count of the points
 * @param {(i: number) => number[]} at the place of a point
 * @param {number} from
 * @param {number[]} direction
 */
export function neighbor(count, at, from, [dx, dy]) {
  const [x, y] = at(from);
  let found = from;
  let least = Infinity;
  for (let i = 0; i < count; i++) {
    const [px, py] = at(i);
    const along = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (along > 0.5 && aside <= along && along + 2 * aside < least) [found, least] = [i, along + 2 * aside];
  }
  return found;
}
