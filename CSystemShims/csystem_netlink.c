// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

int csystem_netlink_open(void **socket) {
  struct mnl_socket *opened = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
  if (opened == NULL) {
    return -errno;
  }
  if (mnl_socket_bind(opened, 0, MNL_SOCKET_AUTOPID) < 0) {
    int error = errno;
    mnl_socket_close(opened);
    return -error;
  }
  *socket = opened;
  return 0;
}

int csystem_netlink_close(void *socket) {
  return mnl_socket_close(socket) < 0 ? -errno : 0;
}

int csystem_netlink_descriptor(void *socket) {
  return mnl_socket_get_fd(socket);
}

uint32_t csystem_netlink_port(void *socket) {
  return mnl_socket_get_portid(socket);
}

int csystem_netlink_set_strict(void *socket) {
  const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
  for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
    int one = 1;
    if (mnl_socket_setsockopt(socket, options[i], &one, sizeof(one)) < 0) {
      return -errno;
    }
  }
  return 0;
}

int csystem_netlink_set_time_limit(void *socket, uint32_t milliseconds) {
  struct timeval limit = {
    .tv_sec = milliseconds / 1000,
    .tv_usec = (milliseconds % 1000) * 1000,
  };
  return setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0
           ? -errno
           : 0;
}

int csystem_netlink_join(void *socket, uint32_t group) {
  int number = (int)group;
  return mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &number, sizeof(number)) < 0 ? -errno
                                                                                            : 0;
}

int64_t csystem_netlink_send(void *socket, const void *bytes, size_t byte_count) {
  ssize_t count = mnl_socket_sendto(socket, bytes, byte_count);
  return count < 0 ? -errno : count;
}

int64_t csystem_netlink_receive(void *socket, void *bytes, size_t byte_count) {
  struct sockaddr_nl sender = {0};
  struct iovec vector = {.iov_base = bytes, .iov_len = byte_count};
  struct msghdr message = {
    .msg_name = &sender,
    .msg_namelen = sizeof(sender),
    .msg_iov = &vector,
    .msg_iovlen = 1,
  };
  ssize_t count = recvmsg(mnl_socket_get_fd(socket), &message, 0);
  if (count < 0) {
    return -errno;
  }
  if (message.msg_namelen != sizeof(sender) || sender.nl_family != AF_NETLINK ||
      sender.nl_pid != 0) {
    return 0;
  }
  return (message.msg_flags & MSG_TRUNC) != 0 ? -ENOSPC : count;
}

int64_t csystem_netlink_begin(
  void *buffer, size_t capacity, uint16_t type, uint8_t command, uint8_t version) {
  if (capacity < MNL_NLMSG_HDRLEN + GENL_HDRLEN) {
    return -EMSGSIZE;
  }
  struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = type;
  struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
  generic->cmd = command;
  generic->version = version;
  return header->nlmsg_len;
}

void csystem_netlink_set_header(void *buffer, uint16_t flags, uint32_t sequence) {
  struct nlmsghdr *header = buffer;
  header->nlmsg_flags = flags;
  header->nlmsg_seq = sequence;
}

int64_t csystem_netlink_put(
  void *buffer, size_t capacity, uint16_t type, const void *bytes, size_t byte_count) {
  struct nlmsghdr *header = buffer;
  if (!mnl_attr_put_check(header, capacity, type, byte_count, bytes)) {
    return -EMSGSIZE;
  }
  return header->nlmsg_len;
}

int64_t csystem_netlink_nest_begin(void *buffer, size_t capacity, uint16_t type) {
  struct nlattr *nest = mnl_attr_nest_start_check(buffer, capacity, type);
  return nest == NULL ? -EMSGSIZE : (char *)nest - (char *)buffer;
}

int64_t csystem_netlink_nest_end(void *buffer, size_t nest_offset) {
  struct nlmsghdr *header = buffer;
  // nla_len has 16 bits.
  if (header->nlmsg_len - nest_offset > UINT16_MAX) {
    return -E2BIG;
  }
  mnl_attr_nest_end(header, (struct nlattr *)((char *)buffer + nest_offset));
  return header->nlmsg_len;
}

int csystem_netlink_message_at(
  const void *bytes, size_t byte_count, size_t offset, struct csystem_netlink_message *message) {
  // Not mnl_nlmsg_ok, which takes lengths from 2^31 on for negative ones.
  struct nlmsghdr header;
  if (offset >= byte_count || byte_count - offset < sizeof(header)) {
    return 0;
  }
  memcpy(&header, (const char *)bytes + offset, sizeof(header));
  size_t length = header.nlmsg_len;
  if (length < sizeof(header) || length > byte_count - offset) {
    return 0;
  }
  message->type = header.nlmsg_type;
  message->flags = header.nlmsg_flags;
  message->sequence = header.nlmsg_seq;
  message->port = header.nlmsg_pid;
  message->payload_offset = offset + sizeof(header);
  message->payload_count = length - sizeof(header);
  message->next_offset = offset + MNL_ALIGN(length);
  return 1;
}

int csystem_netlink_attribute_at(
  const void *bytes, size_t byte_count, size_t offset,
  struct csystem_netlink_attribute *attribute) {
  struct nlattr header;
  if (offset >= byte_count || byte_count - offset < sizeof(header)) {
    return 0;
  }
  // Copied out: the bytes may be a part of something that is not aligned.
  memcpy(&header, (const char *)bytes + offset, sizeof(header));
  if (header.nla_len < sizeof(header) || header.nla_len > byte_count - offset) {
    return 0;
  }
  attribute->type = mnl_attr_get_type(&header);
  attribute->nested = (header.nla_type & NLA_F_NESTED) != 0;
  attribute->payload_offset = offset + MNL_ATTR_HDRLEN;
  attribute->payload_count = mnl_attr_get_payload_len(&header);
  attribute->next_offset = offset + MNL_ALIGN(mnl_attr_get_len(&header));
  return 1;
}

// The attributes of a verdict lie from `offset` to `end`.
static void read_extended_ack(
  const char *bytes, size_t offset, size_t end, struct csystem_netlink_verdict *verdict) {
  struct csystem_netlink_attribute attribute;
  for (; csystem_netlink_attribute_at(bytes, end, offset, &attribute);
       offset = attribute.next_offset) {
    uint32_t value = 0;
    if (attribute.payload_count >= sizeof(value)) {
      memcpy(&value, bytes + attribute.payload_offset, sizeof(value));
    }
    switch (attribute.type) {
    case NLMSGERR_ATTR_MSG:
      verdict->text_offset = attribute.payload_offset;
      verdict->text_count = strnlen(bytes + attribute.payload_offset, attribute.payload_count);
      break;
    case NLMSGERR_ATTR_OFFS:
      verdict->bad_attribute_offset = value;
      break;
    case NLMSGERR_ATTR_MISS_TYPE:
      verdict->missing_attribute = value;
      break;
    default:
      break;
    }
  }
}

int csystem_netlink_verdict_of(
  const void *bytes, const struct csystem_netlink_message *message,
  struct csystem_netlink_verdict *verdict) {
  *verdict = (struct csystem_netlink_verdict){.bad_attribute_offset = -1, .missing_attribute = -1};
  int32_t error = 0;
  if (message->payload_count < sizeof(error)) {
    return 0;
  }
  const char *payload = (const char *)bytes + message->payload_offset;
  memcpy(&error, payload, sizeof(error));
  // An errno is 1 to 4095 (MAX_ERRNO, include/linux/err.h), negative.
  if (error > 0 || error < -4095) {
    return 0;
  }
  verdict->error = -error;
  size_t used = MNL_ALIGN(sizeof(error));
  if (message->type == NLMSG_ERROR) {
    struct nlmsgerr copy;
    if (message->payload_count < sizeof(copy)) {
      return 0;
    }
    memcpy(&copy, payload, sizeof(copy));
    used = MNL_ALIGN(sizeof(copy));
    // Without NETLINK_CAP_ACK a refusal repeats the whole request before its attributes.
    if (error != 0 && (message->flags & NLM_F_CAPPED) == 0) {
      used += MNL_ALIGN(copy.msg.nlmsg_len) - MNL_NLMSG_HDRLEN;
    }
  }
  if ((message->flags & NLM_F_ACK_TLVS) != 0) {
    size_t end = message->payload_offset + message->payload_count;
    read_extended_ack(bytes, message->payload_offset + used, end, verdict);
  }
  return 1;
}
