// SPDX-License-Identifier: GPL-2.0
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "devmemsim.h"

static void dms_frame_parse_l4(const struct sk_buff *skb, struct dms_frame *frame,
			       struct dms_tuple *tuple)
{
	struct tcphdr storage;
	const struct tcphdr *tcp;
	const struct udphdr *udp;

	switch (frame->protocol) {
	case IPPROTO_TCP:
		tcp = skb_header_pointer(skb, frame->l4, sizeof(*tcp), &storage);
		if (!tcp || tcp->doff * 4 < sizeof(*tcp) ||
		    frame->l4 + tcp->doff * 4 > skb->len)
			return;
		tuple->sport = tcp->source;
		tuple->dport = tcp->dest;
		frame->ports = true;
		frame->tcp = true;
		frame->header_len = frame->l4 + tcp->doff * 4;
		break;
	case IPPROTO_UDP:
		udp = skb_header_pointer(skb, frame->l4, sizeof(*udp), &storage);
		if (!udp)
			return;
		tuple->sport = udp->source;
		tuple->dport = udp->dest;
		frame->ports = true;
		break;
	}
}

static void dms_frame_parse_ipv4(const struct sk_buff *skb, struct dms_frame *frame,
				 struct dms_tuple *tuple)
{
	struct iphdr storage;
	const struct iphdr *ip;

	ip = skb_header_pointer(skb, frame->l3, sizeof(*ip), &storage);
	if (!ip || ip->version != 4 || ip->ihl < 5)
		return;
	frame->ip = true;
	frame->protocol = ip->protocol;
	frame->l4 = frame->l3 + ip->ihl * 4;
	tuple->src[0] = ip->saddr;
	tuple->dst[0] = ip->daddr;
	/* Fragments of one packet must meet in one queue, and not all have ports. */
	if (!ip_is_fragment(ip))
		dms_frame_parse_l4(skb, frame, tuple);
}

static void dms_frame_parse_ipv6(const struct sk_buff *skb, struct dms_frame *frame,
				 struct dms_tuple *tuple)
{
	struct ipv6hdr storage;
	const struct ipv6hdr *ip;
	__be16 fragment = 0;
	u8 next;
	int l4;

	ip = skb_header_pointer(skb, frame->l3, sizeof(*ip), &storage);
	if (!ip || ip->version != 6)
		return;
	frame->ip = true;
	frame->v6 = true;
	memcpy(tuple->src, &ip->saddr, sizeof(tuple->src));
	memcpy(tuple->dst, &ip->daddr, sizeof(tuple->dst));
	next = ip->nexthdr;
	l4 = ipv6_skip_exthdr(skb, frame->l3 + sizeof(*ip), &next, &fragment);
	if (l4 < 0 || l4 > U16_MAX)
		return;
	frame->protocol = next;
	frame->l4 = l4;
	if (!fragment)
		dms_frame_parse_l4(skb, frame, tuple);
}

/* Finds the headers of a frame that starts with its Ethernet header. */
void dms_frame_parse(const struct sk_buff *skb, struct dms_frame *frame,
		     struct dms_tuple *tuple)
{
	const struct ethhdr *eth;
	struct ethhdr storage;

	memset(frame, 0, sizeof(*frame));
	memset(tuple, 0, sizeof(*tuple));
	eth = skb_header_pointer(skb, 0, sizeof(*eth), &storage);
	if (!eth)
		return;
	frame->l3 = ETH_HLEN;
	switch (eth->h_proto) {
	case htons(ETH_P_IP):
		dms_frame_parse_ipv4(skb, frame, tuple);
		break;
	case htons(ETH_P_IPV6):
		dms_frame_parse_ipv6(skb, frame, tuple);
		break;
	}
}
