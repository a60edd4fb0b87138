// What `model.json` says of the model beside it.

/**
 * @typedef {import("./tiles.js").TileSpec} TileSpec
 * @typedef {import("./pixels.js").ChannelRule} ChannelRule
 * @typedef {import("./objects.js").ObjectRule} ObjectRule
 * @typedef {import("./runtime.js").RuntimeFiles} RuntimeFiles
 */

/**
 * @typedef {object} ClassInfo
 * @property {string} name
 * @property {number} value Of masks; of masks in colour 0xRRGGBB.
 * @property {string} color "#rrggbb"
 */

/**
 * @typedef {object} ModelInfo
 * @property {string} name
 * @property {"semantic" | "foreground" | "instances"} task
 * @property {"ids" | "rgb" | "palette"} kind Of the masks of the training.
 * @property {ClassInfo[]} classes
 * @property {number[]} label_values What the model gives for each class.
 * @property {ChannelRule} channels
 * @property {"image" | "dataset"} normalisation "image": by the page, each image by itself; "dataset": in the model.
 * @property {{height: TileSpec, width: TileSpec}} tiles
 * @property {ObjectRule | null} objects
 * @property {number} most_pixels
 * @property {{file: string, integrity: string, bytes: number}} model
 * @property {RuntimeFiles} runtime
 */

export {};
