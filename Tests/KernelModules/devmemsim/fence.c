// SPDX-License-Identifier: GPL-2.0
/*
 * Fences of a device that does nothing: /dev/devmemsim-fence makes them as sync files and ends
 * them when it is told, in any order, with or without an error. Those that are left when it is
 * closed end with ECANCELED, as a driver's jobs do when their process dies.
 */
#include <linux/dma-fence.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "devmemsim.h"

struct dms_fence_call {
	/* Names a fence as long as it is pending. */
	__u32 id;
	/* Out of MAKE: the descriptor of its sync file. Into END: 0, or a negative errno. */
	__s32 value;
};

#define DMS_FENCE_MAKE _IOR('D', 0x60, struct dms_fence_call)
#define DMS_FENCE_END _IOW('D', 0x61, struct dms_fence_call)

struct dms_fence {
	struct dma_fence base;
	spinlock_t lock;
};

static const char *dms_fence_name(struct dma_fence *fence)
{
	return DMS_NAME;
}

/* The names and this function are the module's: it stays until the last holder has gone. */
static void dms_fence_release(struct dma_fence *fence)
{
	dma_fence_free(fence);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops dms_fence_ops = {
	.get_driver_name = dms_fence_name,
	.get_timeline_name = dms_fence_name,
	.release = dms_fence_release,
};

static int dms_fence_make(struct xarray *pending, struct dms_fence_call __user *argument)
{
	struct dms_fence_call call = {};
	struct sync_file *file;
	struct dms_fence *fence;
	int err;

	fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	if (!fence)
		return -ENOMEM;
	__module_get(THIS_MODULE);
	spin_lock_init(&fence->lock);
	dma_fence_init(&fence->base, &dms_fence_ops, &fence->lock, dma_fence_context_alloc(1), 1);
	err = xa_alloc(pending, &call.id, fence, xa_limit_31b, GFP_KERNEL);
	if (err) {
		dma_fence_put(&fence->base);
		return err;
	}
	err = -ENOMEM;
	file = sync_file_create(&fence->base);
	if (!file)
		goto err_erase;
	call.value = get_unused_fd_flags(O_CLOEXEC);
	err = call.value;
	if (call.value < 0)
		goto err_file;
	err = -EFAULT;
	if (copy_to_user(argument, &call, sizeof(call)))
		goto err_fd;
	fd_install(call.value, file->file);
	return 0;

err_fd:
	put_unused_fd(call.value);
err_file:
	fput(file->file);
err_erase:
	xa_erase(pending, call.id);
	dma_fence_signal(&fence->base);
	dma_fence_put(&fence->base);
	return err;
}

static int dms_fence_end(struct xarray *pending, u32 id, int error)
{
	struct dms_fence *fence;

	if (error > 0 || error < -MAX_ERRNO)
		return -EINVAL;
	fence = xa_erase(pending, id);
	if (!fence)
		return -ENOENT;
	if (error)
		dma_fence_set_error(&fence->base, error);
	dma_fence_signal(&fence->base);
	dma_fence_put(&fence->base);
	return 0;
}

static long dms_fence_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct dms_fence_call __user *user = (void __user *)argument;
	struct dms_fence_call call;

	switch (command) {
	case DMS_FENCE_MAKE:
		return dms_fence_make(file->private_data, user);
	case DMS_FENCE_END:
		if (copy_from_user(&call, user, sizeof(call)))
			return -EFAULT;
		return dms_fence_end(file->private_data, call.id, call.value);
	default:
		return -ENOTTY;
	}
}

static int dms_fence_open(struct inode *inode, struct file *file)
{
	struct xarray *pending = kmalloc(sizeof(*pending), GFP_KERNEL);

	if (!pending)
		return -ENOMEM;
	xa_init_flags(pending, XA_FLAGS_ALLOC);
	file->private_data = pending;
	return 0;
}

static int dms_fence_close(struct inode *inode, struct file *file)
{
	struct xarray *pending = file->private_data;
	struct dms_fence *fence;
	unsigned long id;

	xa_for_each(pending, id, fence)
		dms_fence_end(pending, id, -ECANCELED);
	xa_destroy(pending);
	kfree(pending);
	return 0;
}

static const struct file_operations dms_fence_fops = {
	.owner = THIS_MODULE,
	.open = dms_fence_open,
	.release = dms_fence_close,
	.unlocked_ioctl = dms_fence_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = DMS_NAME "-fence",
	.fops = &dms_fence_fops,
	.mode = 0600,
};

int dms_fence_create(void)
{
	return misc_register(&device);
}

void dms_fence_destroy(void)
{
	misc_deregister(&device);
}
