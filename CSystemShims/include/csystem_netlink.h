// SPDX-License-Identifier: Apache-2.0
//
// Generic netlink through libmnl: sockets, messages, attributes (netlink(7),
// Documentation/userspace-api/netlink/intro.rst).
// Why C: libmnl hands out opaque sockets, and messages are walked by pointers into them.
//
// A socket is libmnl's `struct mnl_socket`: memory and a close-on-exec descriptor, both of which
// csystem_netlink_close lets go. One thread at a time may use it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// One message in a buffer of received messages.
struct csystem_netlink_message {
  /// nlmsg_type: NLMSG_ERROR (2), NLMSG_DONE (3), else the number of the family.
  uint16_t type;
  /// NLM_F_*.
  uint16_t flags;
  uint32_t sequence;
  uint32_t port;
  /// Where the payload is in the buffer, and where the next message begins.
  size_t payload_offset;
  size_t payload_count;
  size_t next_offset;
};

/// One attribute in a run of attributes.
struct csystem_netlink_attribute {
  /// nla_type without its two flags.
  uint16_t type;
  /// NLA_F_NESTED is set.
  uint16_t nested;
  size_t payload_offset;
  size_t payload_count;
  size_t next_offset;
};

/// What a kernel says of a refused request (struct nlmsgerr and enum nlmsgerr_attrs), and of the
/// end of a dump.
struct csystem_netlink_verdict {
  /// 0, or an errno as a positive number.
  int32_t error;
  /// NLMSGERR_ATTR_OFFS: where in the request the bad attribute is; -1 without one.
  int64_t bad_attribute_offset;
  /// NLMSGERR_ATTR_MISS_TYPE: the attribute that is missing; -1 without one.
  int64_t missing_attribute;
  /// NLMSGERR_ATTR_MSG: where in the buffer the text is; without its NUL.
  size_t text_offset;
  size_t text_count;
};

/// mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC) and mnl_socket_bind with a number that the
/// kernel chooses. Writes a socket that the caller owns. -EPROTONOSUPPORT without generic netlink,
/// -EMFILE.
int csystem_netlink_open(void **socket);

/// Closes the descriptor and frees the socket, whatever the kernel answers.
int csystem_netlink_close(void *socket);

/// The socket's descriptor, which stays the socket's. Cannot fail.
int csystem_netlink_descriptor(void *socket);

/// The socket's address (nl_pid), which answers carry. Cannot fail.
uint32_t csystem_netlink_port(void *socket);

/// NETLINK_EXT_ACK, NETLINK_CAP_ACK and NETLINK_GET_STRICT_CHK: refusals come with a text and
/// without a copy of the request, and dumps refuse what they do not know. Minimum kernel: 4.20.
int csystem_netlink_set_strict(void *socket);

/// SO_RCVTIMEO: receiving fails with -EAGAIN after that time; 0 waits for ever.
int csystem_netlink_set_time_limit(void *socket, uint32_t milliseconds);

/// NETLINK_ADD_MEMBERSHIP. -ENOENT if there is no such group, -EPERM if it is not for everybody.
int csystem_netlink_join(void *socket, uint32_t group);

/// mnl_socket_sendto, to the kernel. Bytes sent: all of them.
int64_t csystem_netlink_send(void *socket, const void *bytes, size_t byte_count);

/// recvmsg(2): one datagram of the kernel's, which may hold several messages; 0 for one from
/// another process, which is dropped. -ENOSPC if it did not fit (it is gone), -ENOBUFS if the
/// kernel had to drop some before it.
int64_t csystem_netlink_receive(void *socket, void *bytes, size_t byte_count);

/// Writes the headers of a generic netlink request at the beginning of `buffer`
/// (mnl_nlmsg_put_header, struct genlmsghdr). Returns the message's length so far, -EMSGSIZE if
/// there is no room.
int64_t csystem_netlink_begin(
  void *buffer, size_t capacity, uint16_t type, uint8_t command, uint8_t version);

/// Sets what is known at sending only.
void csystem_netlink_set_header(void *buffer, uint16_t flags, uint32_t sequence);

/// mnl_attr_put_check. Returns the message's length, -EMSGSIZE if there is no room (nothing is
/// written).
int64_t csystem_netlink_put(
  void *buffer, size_t capacity, uint16_t type, const void *bytes, size_t byte_count);

/// mnl_attr_nest_start_check. Returns where in the buffer the nest begins, -EMSGSIZE without room.
int64_t csystem_netlink_nest_begin(void *buffer, size_t capacity, uint16_t type);

/// mnl_attr_nest_end of the nest that begins there. Returns the message's length, -E2BIG for a nest
/// of more than 65535 bytes, which stays unfinished.
int64_t csystem_netlink_nest_end(void *buffer, size_t nest_offset);

/// The message at an offset, if all of it is there. 1, or 0 where none fits any more.
int csystem_netlink_message_at(
  const void *bytes, size_t byte_count, size_t offset, struct csystem_netlink_message *message);

/// The attribute at an offset, if all of it is there. 1, or 0 where none fits any more.
int csystem_netlink_attribute_at(
  const void *bytes, size_t byte_count, size_t offset, struct csystem_netlink_attribute *attribute);

/// Reads a message of type NLMSG_ERROR or NLMSG_DONE. 1, or 0 if it is too short to be one,
/// or its error is none.
int csystem_netlink_verdict_of(
  const void *bytes, const struct csystem_netlink_message *message,
  struct csystem_netlink_verdict *verdict);

#ifdef __cplusplus
}
#endif
