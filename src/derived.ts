import { createHmac } from 'node:crypto';

/** A secret of its own for each use, so that one that got out tells nothing of the others. */
export const derived = (secretKey: Buffer, use: string): string =>
  createHmac('sha256', secretKey).update(`mayfly ${use}`).digest('base64url');

/** The password of the gate's own role in the database: whoever opens the database gives it to the role, `npm run platform` to the gate. */
export const gatePassword = (secretKey: Buffer): string => derived(secretKey, 'gate database');
