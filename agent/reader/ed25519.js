// Ed25519 (RFC 8032): by the browser's WebCrypto; where it has none (before Chrome 137, Firefox 129, Safari 17), by the copy of @noble/ed25519.

import { Refused } from "./cbor.js";

export async function verifyEd25519(publicKey, signature, message) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) throw new Refused("crypto", "no WebCrypto: not a secure page");
  let key;
  try {
    key = await subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return bySoftware(publicKey, signature, message);
  }
  return subtle.verify("Ed25519", key, signature, message);
}

// SHA-512 still comes from WebCrypto, which every browser with service workers has.
async function bySoftware(publicKey, signature, message) {
  let noble;
  try {
    noble = await import("./noble-ed25519.js");
  } catch {
    throw new Refused("crypto", "no Ed25519");
  }
  try {
    return await noble.verifyAsync(signature, message, publicKey, { zip215: false });
  } catch {
    return false;
  }
}
