/**
 * Numbers of the vhost-user protocol, as QEMU's docs/interop/vhost-user.rst defines them. What this device does with
 * each request is in requests.ts; what it offers is in fs-backend.ts.
 */

/** Requests of the frontend. The whole list, so that a refusal can name what it refuses. */
export const REQUESTS = {
  /** Which virtio features are on offer? */
  GET_FEATURES: 1,
  /** The virtio features that the driver accepted. */
  SET_FEATURES: 2,
  /** The sender owns the session: sent once, first. */
  SET_OWNER: 3,
  /** Deprecated. To be ignored, or to disable all rings. */
  RESET_OWNER: 4,
  /** Guest memory: regions and one descriptor for each. */
  SET_MEM_TABLE: 5,
  /** Shared memory for the log of dirty pages. */
  SET_LOG_BASE: 6,
  /** Eventfd that is written when the log has changed. */
  SET_LOG_FD: 7,
  /** Entries of a ring. */
  SET_VRING_NUM: 8,
  /** Addresses of a ring's parts, in the frontend's address space. */
  SET_VRING_ADDR: 9,
  /** Next entry of the available ring to read. */
  SET_VRING_BASE: 10,
  /** Stops a ring and asks for the next entry of its available ring. */
  GET_VRING_BASE: 11,
  /** Eventfd by which the driver announces requests; starts the ring. */
  SET_VRING_KICK: 12,
  /** Eventfd by which the driver is interrupted. */
  SET_VRING_CALL: 13,
  /** Eventfd by which the frontend hears of a broken ring. */
  SET_VRING_ERR: 14,
  /** Which protocol features are on offer? */
  GET_PROTOCOL_FEATURES: 15,
  /** The protocol features that the frontend wants. */
  SET_PROTOCOL_FEATURES: 16,
  /** How many rings are there at most? */
  GET_QUEUE_NUM: 17,
  /** Enables or disables a ring. */
  SET_VRING_ENABLE: 18,
  /** Asks a network device to announce itself. */
  SEND_RARP: 19,
  /** The MTU of a network device. */
  NET_SET_MTU: 20,
  /** The channel for requests of the backend. */
  SET_BACKEND_REQ_FD: 21,
  /** IOTLB updates. */
  IOTLB_MSG: 22,
  /** Byte order of a legacy ring. */
  SET_VRING_ENDIAN: 23,
  /** Reads the device's configuration space. */
  GET_CONFIG: 24,
  /** Writes the device's configuration space. */
  SET_CONFIG: 25,
  /** Opens a session of a crypto device. */
  CREATE_CRYPTO_SESSION: 26,
  /** Closes a session of a crypto device. */
  CLOSE_CRYPTO_SESSION: 27,
  /** Postcopy migration begins. */
  POSTCOPY_ADVISE: 28,
  /** Postcopy migration: pages may now be missing. */
  POSTCOPY_LISTEN: 29,
  /** Postcopy migration is over. */
  POSTCOPY_END: 30,
  /** Shared memory for requests in flight. */
  GET_INFLIGHT_FD: 31,
  /** The same memory, handed back after a reconnect. */
  SET_INFLIGHT_FD: 32,
  /** The socket of a GPU device. */
  GPU_SET_SOCKET: 33,
  /** Back to the initial state. */
  RESET_DEVICE: 34,
  /** A kick by message instead of eventfd. */
  VRING_KICK: 35,
  /** How many memory regions can be added? */
  GET_MAX_MEM_SLOTS: 36,
  /** Adds one memory region. */
  ADD_MEM_REG: 37,
  /** Removes one memory region. */
  REM_MEM_REG: 38,
  /** The virtio device status. */
  SET_STATUS: 39,
  /** Asks for the virtio device status. */
  GET_STATUS: 40,
  /** Looks up a shared object. */
  GET_SHARED_OBJECT: 41,
  /** The pipe by which the device's state migrates. */
  SET_DEVICE_STATE_FD: 42,
  /** Was the state transferred? */
  CHECK_DEVICE_STATE: 43,
  /** Sizes of the shared memory regions (DAX window). */
  GET_SHMEM_CONFIG: 44,
} as const;

export type RequestName = keyof typeof REQUESTS;

/** Bit numbers of the protocol features. */
export const PROTOCOL_FEATURES = {
  /** More than one ring; GET_QUEUE_NUM. */
  MQ: 0,
  /** The dirty log is in shared memory. */
  LOG_SHMFD: 1,
  RARP: 2,
  /** A request with the need-reply flag and no reply of its own is answered by a u64: 0, or not 0 for failure. */
  REPLY_ACK: 3,
  MTU: 4,
  /** A channel for requests of the backend; SET_BACKEND_REQ_FD. */
  BACKEND_REQ: 5,
  CROSS_ENDIAN: 6,
  CRYPTO_SESSION: 7,
  PAGEFAULT: 8,
  /** GET_CONFIG and SET_CONFIG. */
  CONFIG: 9,
  BACKEND_SEND_FD: 10,
  HOST_NOTIFIER: 11,
  INFLIGHT_SHMFD: 12,
  /** RESET_DEVICE. */
  RESET_DEVICE: 13,
  INBAND_NOTIFICATIONS: 14,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
  XEN_MMAP: 17,
  SHARED_OBJECT: 18,
  DEVICE_STATE: 19,
  GET_VRING_BASE_INFLIGHT: 20,
  SHMEM: 21,
} as const;

export type ProtocolFeatureName = keyof typeof PROTOCOL_FEATURES;

/** Feature bits of vhost that are negotiated with the virtio features, and are between frontend and backend alone. */
export const VHOST_FEATURES = {
  /** Writes to guest memory are logged. */
  LOG_ALL: 26,
} as const;

/** In the flags of SET_VRING_ADDR: writes to the used ring are logged at an address of its own. */
export const VRING_FLAG_LOG = 0x1;

/** In the device status (virtio 1.3 §2.1): the device cannot go on until it is reset. */
export const STATUS_NEEDS_RESET = 0x40;

/** Bytes of a header: request, flags, size of the body; each a u32 in the machine's byte order. */
export const HEADER_BYTES = 12;

/** The flags word of a header. */
export const HEADER_FLAGS = {
  /** Bits 0 and 1: the version. */
  VERSION_MASK: 0x3,
  VERSION: 0x1,
  /** This is a reply. */
  REPLY: 0x4,
  /** The sender wants a reply also to a request that has none of its own (REPLY_ACK). */
  NEED_REPLY: 0x8,
} as const;

/** In the u64 of SET_VRING_KICK, CALL and ERR: bits 0 to 7 are the ring, bit 8 says that no descriptor comes along. */
export const VRING_INDEX_MASK = 0xffn;
export const VRING_NOFD = 0x100n;

/** Bytes of the configuration space that a frontend may ask for (VHOST_USER_MAX_CONFIG_SIZE). */
export const CONFIG_BYTES_MAX = 256;

/**
 * Regions in a SET_MEM_TABLE. The protocol's own limit is 8; more do no harm up to the number of descriptors that a
 * message can carry.
 */
export const MEMORY_REGIONS_MAX = 32;

/** Regions at once, however they come; as other backends have it, and QEMU can use. */
export const MEMORY_SLOTS_MAX = 509;

/** Sizes of shared memory regions in the reply to GET_SHMEM_CONFIG. */
export const SHMEM_REGIONS = 256;

/** Descriptors that any request takes at most: one per memory region. */
export const MESSAGE_FDS_MAX = MEMORY_REGIONS_MAX;

/**
 * Longest body that is accepted. It protects this process from allocating what a peer announces; the longest legal
 * one, a table of 32 regions, has 1032 bytes.
 */
export const BODY_BYTES_MAX = 4096;
