import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Encrypts what is kept in the database. `about` names what it is: sealed text that was moved to another name does not open. */
export type Sealer = {
  readonly seal: (text: string, about: string) => Buffer;
  /** @throws Error when it was sealed with another key, for something else, or changed since */
  readonly open: (sealed: Buffer, about: string) => string;
  /** HMAC-SHA256 of `text` for one use: the same each time, and to be had from nothing but the secret key. */
  readonly derive: (text: string, use: string) => Buffer;
};

const KEY_BYTES = 32;
/** As GCM has them: 96 bits at random are safe for 2³² seals, and an operator makes a handful. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM under a key that is derived from the secret key for this use alone (RFC 5869). What it seals: nonce, tag, text. */
export function createSealer(secretKey: Buffer): Sealer {
  const keyFor = (what: string): Buffer => Buffer.from(hkdfSync('sha256', secretKey, '', what, KEY_BYTES));
  const key = keyFor('mayfly sealed in the database');
  const deriving = keyFor('mayfly derived from what is sealed');
  return {
    seal(text, about) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, about) {
      const nonce = sealed.subarray(0, NONCE_BYTES);
      const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
      const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(about)).setAuthTag(tag);
      return Buffer.concat([cipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), cipher.final()]).toString('utf8');
    },
    // A use is words of ours, so the NUL cannot stand anywhere else before the text.
    derive: (text, use) => createHmac('sha256', deriving).update(`${use}\0`).update(text).digest(),
  };
}
