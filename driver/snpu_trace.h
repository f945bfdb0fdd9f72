/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM snpu

#if !defined(_SNPU_TRACE_H_) || defined(TRACE_HEADER_MULTI_READ)
#define _SNPU_TRACE_H_

#include <linux/tracepoint.h>

#include "snpu_drv.h"

TRACE_EVENT(snpu_admin,
	    TP_PROTO(struct snpu_device *sdev, u16 op, int ret, u32 status),
	    TP_ARGS(sdev, op, ret, status),
	    TP_STRUCT__entry(__string(dev, dev_name(sdev->drm.dev))
			     __field(u16, op)
			     __field(int, ret)
			     __field(u32, status)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->op = op;
			   __entry->ret = ret;
			   __entry->status = status;),
	    TP_printk("%s op=%#x ret=%d status=%u", __get_str(dev), __entry->op, __entry->ret,
		      __entry->status));

TRACE_EVENT(snpu_bind,
	    TP_PROTO(struct snpu_device *sdev, u32 ctx, u32 op, u64 va, u64 size, int ret),
	    TP_ARGS(sdev, ctx, op, va, size, ret),
	    TP_STRUCT__entry(__string(dev, dev_name(sdev->drm.dev))
			     __field(u32, ctx)
			     __field(u32, op)
			     __field(u64, va)
			     __field(u64, size)
			     __field(int, ret)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->ctx = ctx;
			   __entry->op = op;
			   __entry->va = va;
			   __entry->size = size;
			   __entry->ret = ret;),
	    TP_printk("%s ctx=%u %s va=%#llx size=%#llx ret=%d", __get_str(dev), __entry->ctx,
		      __entry->op == DRM_SNPU_BIND_MAP ? "map" : "unmap", __entry->va,
		      __entry->size, __entry->ret));

DECLARE_EVENT_CLASS(snpu_queue_class,
		    TP_PROTO(struct snpu_queue *queue, u64 value),
		    TP_ARGS(queue, value),
		    TP_STRUCT__entry(__string(dev, dev_name(queue->sdev->drm.dev))
				     __field(u32, number)
				     __field(u64, value)),
		    TP_fast_assign(__assign_str(dev);
				   __entry->number = queue->number;
				   __entry->value = value;),
		    TP_printk("%s queue=%u value=%llu", __get_str(dev), __entry->number,
			      __entry->value));

/* value: entries of the ring */
DEFINE_EVENT(snpu_queue_class, snpu_queue_create,
	     TP_PROTO(struct snpu_queue *queue, u64 value), TP_ARGS(queue, value));
/* value: packets retired */
DEFINE_EVENT(snpu_queue_class, snpu_queue_destroy,
	     TP_PROTO(struct snpu_queue *queue, u64 value), TP_ARGS(queue, value));
/* value: position of the fence */
DEFINE_EVENT(snpu_queue_class, snpu_queue_signal,
	     TP_PROTO(struct snpu_queue *queue, u64 value), TP_ARGS(queue, value));
/* value: slot */
DEFINE_EVENT(snpu_queue_class, snpu_queue_wait,
	     TP_PROTO(struct snpu_queue *queue, u64 value), TP_ARGS(queue, value));
/* value: packets retired */
DEFINE_EVENT(snpu_queue_class, snpu_queue_hang,
	     TP_PROTO(struct snpu_queue *queue, u64 value), TP_ARGS(queue, value));
/* value: SNPU_ERR_* */
DEFINE_EVENT(snpu_queue_class, snpu_queue_fault,
	     TP_PROTO(struct snpu_queue *queue, u64 value), TP_ARGS(queue, value));

TRACE_EVENT(snpu_irq,
	    TP_PROTO(struct snpu_device *sdev, unsigned int vector),
	    TP_ARGS(sdev, vector),
	    TP_STRUCT__entry(__string(dev, dev_name(sdev->drm.dev))
			     __field(unsigned int, vector)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->vector = vector;),
	    TP_printk("%s vector=%u", __get_str(dev), __entry->vector));

TRACE_EVENT(snpu_event,
	    TP_PROTO(struct snpu_device *sdev, const struct snpu_event_entry *ev),
	    TP_ARGS(sdev, ev),
	    TP_STRUCT__entry(__string(dev, dev_name(sdev->drm.dev))
			     __field(u32, type)
			     __field(u32, queue)
			     __field(u32, code)
			     __field(u64, data)
			     __field(u64, time_ns)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->type = ev->type;
			   __entry->queue = ev->queue;
			   __entry->code = ev->code;
			   __entry->data = ev->data;
			   __entry->time_ns = ev->time_ns;),
	    TP_printk("%s type=%u queue=%d code=%u data=%#llx time=%llu", __get_str(dev),
		      __entry->type, (int)__entry->queue, __entry->code, __entry->data,
		      __entry->time_ns));

TRACE_EVENT(snpu_reset,
	    TP_PROTO(struct snpu_device *sdev, const char *reason, int ret),
	    TP_ARGS(sdev, reason, ret),
	    TP_STRUCT__entry(__string(dev, dev_name(sdev->drm.dev))
			     __string(reason, reason)
			     __field(int, ret)),
	    TP_fast_assign(__assign_str(dev);
			   __assign_str(reason);
			   __entry->ret = ret;),
	    TP_printk("%s reason=\"%s\" ret=%d", __get_str(dev), __get_str(reason), __entry->ret));

#endif /* _SNPU_TRACE_H_ */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE snpu_trace
#include <trace/define_trace.h>
