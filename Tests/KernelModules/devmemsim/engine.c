// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA engine. It knows memory by DMA address only, as a NIC does: that of the
 * sender's packet, mapped for the time of the copy (device memory has its address
 * already), and that of the receiver's buffers out of the queue's page pool.
 *
 * A TSO frame comes over the wire whole. With rx-gro-hw it becomes one packet, else
 * it is cut here into segments with headers and checksums of their own.
 */
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/netdev_rx_queue.h>
#include <net/page_pool/helpers.h>

#include "devmemsim.h"

/* What of a frame becomes one packet. */
struct dms_cut {
	const struct sk_buff	*wire;
	const struct dms_frame	*frame;
	u32			linear;		/* bytes from the front into the linear part */
	u32			payload;	/* where the rest begins in the frame */
	u32			length;		/* and its length */
	bool			sum;		/* add the bytes up while copying */
	__wsum			csum;		/* over the payload, from an even offset on */
};

/* The bytes behind a DMA address, or NULL when they are not memory that a CPU can reach. */
static void *dms_bus_to_virt(struct device *dma, dma_addr_t address)
{
	phys_addr_t phys = dma_to_phys(dma, address);

	return pfn_valid(PHYS_PFN(phys)) ? phys_to_virt(phys) : NULL;
}

static bool dms_fetch_head(struct device *dma, const struct sk_buff *skb, u32 offset,
			   void *to, u32 length)
{
	dma_addr_t address;

	address = dma_map_single(dma, skb->data + offset, length, DMA_TO_DEVICE);
	if (dma_mapping_error(dma, address))
		return false;
	memcpy(to, dms_bus_to_virt(dma, address), length);
	dma_unmap_single(dma, address, length, DMA_TO_DEVICE);
	return true;
}

static bool dms_fetch_frag(struct device *dma, const skb_frag_t *frag, u32 offset,
			   void *to, u32 length)
{
	dma_addr_t address;
	void *from;

	/* Of device memory this is the address the binding has given it. */
	address = skb_frag_dma_map(dma, frag, offset, length, DMA_TO_DEVICE);
	if (dma_mapping_error(dma, address))
		return false;
	from = dms_bus_to_virt(dma, address);
	if (from)
		memcpy(to, from, length);
	if (!skb_frag_is_net_iov(frag))
		dma_unmap_page(dma, address, length, DMA_TO_DEVICE);
	return from;
}

/* Reads a range of the sender's frame. */
static bool dms_fetch(struct device *dma, const struct sk_buff *skb, u32 offset, void *to,
		      u32 length)
{
	u32 head = skb_headlen(skb), n;

	if (offset < head) {
		n = min(length, head - offset);
		if (!dms_fetch_head(dma, skb, offset, to, n))
			return false;
		offset += n;
		to += n;
		length -= n;
	}
	offset -= head;
	for (int i = 0; length && i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];
		u32 size = skb_frag_size(frag);

		if (offset >= size) {
			offset -= size;
			continue;
		}
		n = min(length, size - offset);
		if (!dms_fetch_frag(dma, frag, offset, to, n))
			return false;
		offset = 0;
		to += n;
		length -= n;
	}
	return !length;
}

static netmem_ref dms_alloc(struct dms_rxq *rxq)
{
	struct dms_faults *faults = &rxq->priv->faults;
	netmem_ref netmem = 0;

	if (!dms_fault(&faults->allocations, &faults->alloc_fail_every))
		netmem = page_pool_dev_alloc_netmems(rxq->pool);
	if (!netmem)
		dms_count(&rxq->stats, alloc_fail, 1);
	return netmem;
}

/* Payload into buffers of the pool, each from its beginning. */
static bool dms_store_payload(struct dms_rxq *rxq, struct sk_buff *skb, struct dms_cut *cut)
{
	struct device *dma = rxq->priv->dma;
	u32 done = 0;

	while (done < cut->length) {
		u32 n = min(cut->length - done, rxq->page_size);
		int frags = skb_shinfo(skb)->nr_frags;
		netmem_ref netmem;
		void *to;

		if (frags == MAX_SKB_FRAGS)
			return false;
		netmem = dms_alloc(rxq);
		if (!netmem)
			return false;
		/* The packet owns it from here on, whatever happens. */
		skb_add_rx_frag_netmem(skb, frags, netmem, 0, n, rxq->page_size);
		to = dms_bus_to_virt(dma, page_pool_get_dma_addr_netmem(netmem));
		if (!to || !dms_fetch(dma, cut->wire, cut->payload + done, to, n))
			return false;
		if (cut->sum)
			cut->csum = csum_block_add(cut->csum, csum_partial(to, n, 0), done);
		page_pool_dma_sync_netmem_for_cpu(rxq->pool, netmem, 0, n);
		done += n;
	}
	return true;
}

/* The sum from an offset of the packet to its end; the offset lies in the linear part. */
static __wsum dms_sum_from(const struct sk_buff *skb, const struct dms_cut *cut, u32 offset)
{
	u32 n = skb_headlen(skb) - offset;

	return csum_block_add(csum_partial(skb->data + offset, n, 0), cut->csum, n);
}

/* As the sender's hardware does for a packet that asks for it. */
static void dms_insert_checksum(struct sk_buff *skb, const struct dms_cut *cut)
{
	u32 start = skb_checksum_start_offset(cut->wire);
	__sum16 *field = (void *)skb->data + start + cut->wire->csum_offset;

	if (start + cut->wire->csum_offset + sizeof(*field) > skb_headlen(skb))
		return;
	*field = csum_fold(dms_sum_from(skb, cut, start));
	/* UDP has a meaning for 0. */
	if (!*field && cut->frame->protocol == IPPROTO_UDP)
		*field = CSUM_MANGLED_0;
}

/* As the receiver's hardware does. The stack sums up what we know nothing about. */
static void dms_verify_checksum(struct dms_rxq *rxq, struct sk_buff *skb,
				const struct dms_cut *cut)
{
	const struct dms_frame *frame = cut->frame;
	u32 length = skb->len - frame->l4;
	__sum16 sum;
	__wsum csum;

	if (!(rxq->priv->dev->features & NETIF_F_RXCSUM) || !frame->ports)
		goto none;
	if (frame->protocol == IPPROTO_UDP) {
		const struct udphdr *udp = (void *)skb->data + frame->l4;

		/* 0 is no checksum, and a short frame may have bytes behind its end. */
		if (!udp->check || ntohs(udp->len) != length)
			goto none;
	}
	csum = dms_sum_from(skb, cut, frame->l4);
	if (frame->v6) {
		const struct ipv6hdr *ip = (void *)skb->data + frame->l3;

		sum = csum_ipv6_magic(&ip->saddr, &ip->daddr, length, frame->protocol, csum);
	} else {
		const struct iphdr *ip = (void *)skb->data + frame->l3;

		if (ntohs(ip->tot_len) != skb->len - frame->l3)
			goto none;
		sum = csum_tcpudp_magic(ip->saddr, ip->daddr, length, frame->protocol, csum);
	}
	if (sum) {
		dms_count(&rxq->stats, csum_bad, 1);
		goto none;
	}
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	dms_count(&rxq->stats, csum_unnecessary, 1);
	return;
none:
	skb->ip_summed = CHECKSUM_NONE;
	dms_count(&rxq->stats, csum_none, 1);
}

/* Headers of the segment that starts `at` bytes into the payload of a TSO frame. */
static void dms_segment_headers(struct sk_buff *skb, const struct dms_cut *cut, u32 at,
				u32 segment, bool last)
{
	const struct dms_frame *frame = cut->frame;
	struct tcphdr *tcp = (void *)skb->data + frame->l4;
	u32 l4_length = skb->len - frame->l4;

	tcp->seq = htonl(ntohl(tcp->seq) + at);
	if (at)
		tcp->cwr = 0;
	if (!last) {
		tcp->fin = 0;
		tcp->psh = 0;
	}
	if (frame->v6) {
		struct ipv6hdr *ip = (void *)skb->data + frame->l3;

		ip->payload_len = htons(skb->len - frame->l3 - sizeof(*ip));
		tcp->check = ~csum_ipv6_magic(&ip->saddr, &ip->daddr, l4_length, IPPROTO_TCP, 0);
	} else {
		struct iphdr *ip = (void *)skb->data + frame->l3;

		ip->tot_len = htons(skb->len - frame->l3);
		ip->id = htons(ntohs(ip->id) + segment);
		ip_send_check(ip);
		tcp->check = ~csum_tcpudp_magic(ip->saddr, ip->daddr, l4_length, IPPROTO_TCP, 0);
	}
	tcp->check = csum_fold(dms_sum_from(skb, cut, frame->l4));
}

static struct sk_buff *dms_build(struct dms_rxq *rxq, struct dms_cut *cut)
{
	struct device *dma = rxq->priv->dma;
	struct sk_buff *skb;

	skb = napi_alloc_skb(&rxq->napi, cut->linear);
	if (!skb) {
		dms_count(&rxq->stats, alloc_fail, 1);
		return NULL;
	}
	/* Before the first buffer is in it: also on an error they go back to the pool. */
	skb_mark_for_recycle(skb);
	if (!dms_fetch(dma, cut->wire, 0, skb_put(skb, cut->linear), cut->linear) ||
	    !dms_store_payload(rxq, skb, cut)) {
		dms_count(&rxq->stats, drops, 1);
		dev_kfree_skb_any(skb);
		return NULL;
	}
	return skb;
}

static void dms_deliver(struct dms_rxq *rxq, struct sk_buff *skb, const struct dms_frame *frame)
{
	struct dms_rx_stats *stats = &rxq->stats;
	struct net_device *dev = rxq->priv->dev;

	u64_stats_update_begin(&stats->syncp);
	u64_stats_inc(&stats->packets);
	u64_stats_add(&stats->bytes, skb->len);
	if (frame->tcp && skb_headlen(skb) == frame->header_len && skb_is_nonlinear(skb)) {
		u64_stats_inc(&stats->split);
		if (!skb_frags_readable(skb))
			u64_stats_inc(&stats->unreadable);
	}
	u64_stats_update_end(&stats->syncp);
	if (frame->hash && dev->features & NETIF_F_RXHASH)
		skb_set_hash(skb, frame->hash,
			     frame->ports ? PKT_HASH_TYPE_L4 : PKT_HASH_TYPE_L3);
	skb_record_rx_queue(skb, rxq->index);
	skb->protocol = eth_type_trans(skb, dev);
	napi_gro_receive(&rxq->napi, skb);
}

static int dms_receive_segments(struct dms_rxq *rxq, const struct sk_buff *wire,
				const struct dms_frame *frame)
{
	u32 size = skb_shinfo(wire)->gso_size, all = wire->len - frame->header_len;
	struct dms_faults *faults = &rxq->priv->faults;
	int segment = 0;

	for (u32 at = 0; at < all; at += size, segment++) {
		struct dms_cut cut = {
			.wire = wire,
			.frame = frame,
			.linear = frame->header_len,
			.payload = frame->header_len + at,
			.length = min(size, all - at),
			.sum = true,
		};
		struct sk_buff *skb;

		if (dms_fault(&faults->frames, &faults->rx_drop_every)) {
			dms_count(&rxq->stats, drops, 1);
			continue;
		}
		skb = dms_build(rxq, &cut);
		if (!skb)
			continue;
		dms_segment_headers(skb, &cut, at, segment, at + cut.length == all);
		dms_verify_checksum(rxq, skb, &cut);
		dms_deliver(rxq, skb, frame);
	}
	return segment;
}

/* Where the linear part ends. */
static u32 dms_linear(const struct dms_rxq *rxq, const struct sk_buff *wire,
		      const struct dms_frame *frame)
{
	const struct dms_priv *priv = rxq->priv;

	if (frame->tcp && READ_ONCE(priv->split) && wire->len > READ_ONCE(priv->hds_thresh))
		return frame->header_len;
	/* Only TCP's payload may go where the CPU cannot follow. */
	if (page_pool_is_unreadable(rxq->pool))
		return wire->len;
	return min_t(u32, wire->len, max_t(u32, DMS_COPYBREAK, frame->header_len));
}

/* Turns one frame of the wire into packets; returns how many frames a NIC would have seen. */
int dms_receive(struct dms_rxq *rxq, struct sk_buff *wire)
{
	const struct dms_frame *frame = &DMS_CB(wire)->frame;
	struct dms_faults *faults = &rxq->priv->faults;
	struct dms_cut cut = { .wire = wire, .frame = frame };
	struct sk_buff *skb;

	if (skb_is_gso(wire) && !(rxq->priv->dev->features & NETIF_F_GRO_HW))
		return dms_receive_segments(rxq, wire, frame);
	if (dms_fault(&faults->frames, &faults->rx_drop_every)) {
		dms_count(&rxq->stats, drops, 1);
		return 1;
	}
	cut.linear = dms_linear(rxq, wire, frame);
	cut.payload = cut.linear;
	cut.length = wire->len - cut.linear;
	cut.sum = !skb_is_gso(wire);
	skb = dms_build(rxq, &cut);
	if (!skb)
		return 1;
	if (skb_is_gso(wire)) {
		/* As after GRO in hardware: the sum over the pseudo header is in place. */
		skb_shinfo(skb)->gso_size = skb_shinfo(wire)->gso_size;
		skb_shinfo(skb)->gso_segs = skb_shinfo(wire)->gso_segs;
		skb_shinfo(skb)->gso_type = skb_shinfo(wire)->gso_type &
					    (SKB_GSO_TCPV4 | SKB_GSO_TCPV6 | SKB_GSO_TCP_ECN);
		skb->ip_summed = CHECKSUM_PARTIAL;
		skb->csum_start = skb_headroom(skb) + frame->l4;
		skb->csum_offset = offsetof(struct tcphdr, check);
		dms_count(&rxq->stats, csum_unnecessary, 1);
	} else {
		if (wire->ip_summed == CHECKSUM_PARTIAL)
			dms_insert_checksum(skb, &cut);
		dms_verify_checksum(rxq, skb, &cut);
	}
	dms_deliver(rxq, skb, frame);
	return 1;
}
