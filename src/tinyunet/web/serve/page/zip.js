/** Zips whose files are stored as they are, which is how the server sends several at once. */

/**
 * The files of a zip.
 * @param {ArrayBuffer} content of the zip
 * @returns {Map<string, Uint8Array<ArrayBuffer>>} their bytes by name
 */
export function unzip(content) {
  const view = new DataView(content);
  let end = content.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error("The server's answer is no zip.");
  const files = new Map();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    const [method, size, length, extra, comment, local] = [
      view.getUint16(at + 10, true),
      view.getUint32(at + 20, true),
      view.getUint16(at + 28, true),
      view.getUint16(at + 30, true),
      view.getUint16(at + 32, true),
      view.getUint32(at + 42, true),
    ];
    if (method !== 0) throw new Error("The server's answer is compressed, which it should not be.");
    const name = new TextDecoder().decode(new Uint8Array(content, at + 46, length));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    files.set(name, new Uint8Array(content, start, size));
    at += 46 + length + extra + comment;
  }
  return files;
}
