// The error that ends a bridge.

/** An error after which it is useless to try again: `done` of a bridge rejects with it. */
export class BridgeError extends Error {
  static {
    this.prototype.name = "BridgeError";
  }
}
