import {hostname} from 'node:os';
import type {HostTree} from '../host/tree.js';

/**
 * What Kubernetes calls this machine unless it was told otherwise: the host's name in lower case (GetHostname in the kubelet's
 * pkg/util/node/node.go). Null for another machine, and for a name that no node can have.
 */
export const ownNodeName = (tree: HostTree): string | null => {
  if (tree.origin.kind !== 'host') return null;
  const name = hostname().trim().toLowerCase();
  return isNodeName(name) ? name : null;
};

/** A node's name is the name of an object and the value of a label: a DNS name of at most 63 characters. */
export const isNodeName = (text: string): boolean => text.length <= 63 && NODE_NAME.test(text);

const NODE_NAME = /^[a-z\d](?:[a-z\d-]*[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]*[a-z\d])?)*$/;
