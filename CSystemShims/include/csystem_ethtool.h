// SPDX-License-Identifier: Apache-2.0
//
// What of a network card's settings netlink does not have, or has not had for long: steering rules
// (n-tuple filters), the table of receive side scaling, the driver's name. SIOCETHTOOL of
// include/uapi/linux/ethtool.h. Why C: ioctl(2) is variadic, the structs end in arrays of any
// length, and addresses are in network byte order inside unions.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /// RX_CLS_LOC_ANY: the driver chooses the place of a rule.
  csystem_ethtool_any_location = 0xFFFFFFFFu,
  /// Bytes of a driver's name with its NUL (struct ethtool_drvinfo).
  csystem_ethtool_driver_size = 32,
};

/// A steering rule for TCP or UDP (struct ethtool_rx_flow_spec): what matches goes to a queue.
///
/// Addresses are in network byte order, an IPv4 address in the first four bytes; ports are in the
/// byte order of the machine. A bit that is 0 in a mask is not looked at.
struct csystem_ethtool_rule {
  /// Place in the table: lower ones are looked at first.
  uint32_t location;
  /// TCP_V4_FLOW 1, UDP_V4_FLOW 2, TCP_V6_FLOW 5, UDP_V6_FLOW 6; others are only read, without
  /// their addresses and ports.
  uint32_t flow_type;
  /// The receive queue, RX_CLS_FLOW_DISC (all ones) to drop, or what the driver understands.
  uint64_t queue;
  /// The RSS context that spreads the flow; 0 is none.
  uint32_t context;
  uint16_t source_port;
  uint16_t source_port_mask;
  uint16_t destination_port;
  uint16_t destination_port_mask;
  uint8_t source[16];
  uint8_t source_mask[16];
  uint8_t destination[16];
  uint8_t destination_mask[16];
};

/// The table of steering rules.
struct csystem_ethtool_rule_table {
  /// Rules that are there.
  uint32_t count;
  /// Places; 0 where the driver does not say.
  uint32_t size;
  /// Whether the driver takes csystem_ethtool_any_location.
  uint32_t chooses;
};

/// A socket to ask through. Returns an fd that the caller owns. -EMFILE.
int csystem_ethtool_open(void);

/// ETHTOOL_GDRVINFO: the driver's name into csystem_ethtool_driver_size bytes. Returns its length.
/// -EOPNOTSUPP where there is none.
int csystem_ethtool_driver(int fd, const char *interface, char *name);

/// ETHTOOL_GRXRINGS: number of receive queues. -EOPNOTSUPP.
int csystem_ethtool_receive_queues(int fd, const char *interface, uint32_t *count);

/// ETHTOOL_GRSSH: the indirection table of an RSS context (0: the card's own). Writes at most
/// `capacity` queues and the table's size; the table is not read if it is larger. -EOPNOTSUPP,
/// -ENOENT.
int csystem_ethtool_indirection(
  int fd, const char *interface, uint32_t context, uint32_t *queues, size_t capacity, size_t *size);

/// ETHTOOL_SRSSH of the indirection table alone; a `size` of 0 makes it the default one. Minimum
/// kernel: 6.8. -EOPNOTSUPP, -EINVAL (another size than the card's, or no such queue), -EPERM.
int csystem_ethtool_set_indirection(
  int fd, const char *interface, const uint32_t *queues, size_t size);

/// ETHTOOL_SRSSH of a new context, with a table or (size 0) the default one; writes its number.
int csystem_ethtool_create_context(
  int fd, const char *interface, const uint32_t *queues, size_t size, uint32_t *context);

/// ETHTOOL_SRSSH that deletes a context. -ENOENT, -EBUSY while rules use it.
int csystem_ethtool_delete_context(int fd, const char *interface, uint32_t context);

/// ETHTOOL_GRXCLSRLCNT and ETHTOOL_GRXCLSRLALL: the places that are taken. Writes at most
/// `capacity`; -EMSGSIZE if there are more, with table->count telling how many. -EOPNOTSUPP.
int csystem_ethtool_rule_locations(
  int fd, const char *interface, uint32_t *locations, size_t capacity,
  struct csystem_ethtool_rule_table *table);

/// ETHTOOL_GRXCLSRULE: the rule at rule->location. -ENOENT or -EINVAL without one (drivers differ).
int csystem_ethtool_rule(int fd, const char *interface, struct csystem_ethtool_rule *rule);

/// ETHTOOL_SRXCLSRLINS; writes the place back. -EOPNOTSUPP, -EINVAL, -ENOSPC, -EEXIST, -EPERM.
int csystem_ethtool_insert_rule(int fd, const char *interface, struct csystem_ethtool_rule *rule);

/// ETHTOOL_SRXCLSRLDEL. -ENOENT or -EINVAL without one, -EPERM.
int csystem_ethtool_delete_rule(int fd, const char *interface, uint32_t location);

/// getsockopt(SO_NETNS_COOKIE): the number of the socket's network namespace, which no other gets
/// before the next boot. Minimum kernel: 5.14; -ENOPROTOOPT before.
int csystem_ethtool_namespace(int fd, uint64_t *cookie);

#ifdef __cplusplus
}
#endif
