/*
 * Segments of dynamic shared memory. A lack of shared memory is not an error.
 *
 * PostgreSQL reports a lack of shared memory by an error. The error is caught without a
 * subtransaction, which parallel mode does not allow. That is safe because the calls hold no lock
 * when they fail, and because all that they leave behind is an entry in a resource owner: they get
 * a resource owner of their own, which is then released.
 *
 * Memory: the caught error is in the caller's context.
 */
#include "pg/segment.h"

#include "utils/memutils.h"
#include "utils/resowner.h"

typedef struct Request
{
	bool attach;
	dsm_handle handle; /* to attach to */
	Size size;		   /* to create */
} Request;

static void
release_owner(ResourceOwner owner)
{
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, false, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
	ResourceOwnerDelete(owner);
}

/* Return the message of the caught error. Raise the error again if it is a cancel or a shutdown. */
static const char *
caught_problem(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN || error->sqlerrcode == ERRCODE_CRASH_SHUTDOWN)
		ReThrowError(error);
	return error->message;
}

static dsm_segment *
get_segment(const Request *request, const char **problem)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner previous = CurrentResourceOwner;
	ResourceOwner owner = ResourceOwnerCreate(previous, "fmtopx segment");
	dsm_segment *volatile segment = NULL;

	*problem = NULL;
	CurrentResourceOwner = owner;
	PG_TRY();
	{
		segment = request->attach ? dsm_attach(request->handle)
								  : dsm_create(request->size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
		if (segment != NULL)
			dsm_pin_mapping(segment);
	}
	PG_CATCH();
	{
		CurrentResourceOwner = previous;
		*problem = caught_problem(context);
		segment = NULL;
	}
	PG_END_TRY();
	CurrentResourceOwner = previous;
	release_owner(owner);
	if (segment != NULL)
		dsm_unpin_mapping(segment); /* it now belongs to the previous owner */
	return segment;
}

dsm_segment *
fm_segment_create(Size size, const char **problem)
{
	Request request = {.size = size};
	dsm_segment *segment = get_segment(&request, problem);

	if (segment == NULL && *problem == NULL)
		*problem = "too many dynamic shared memory segments";
	return segment;
}

dsm_segment *
fm_segment_attach(dsm_handle handle, const char **problem)
{
	Request request = {.handle = handle, .attach = true};

	return get_segment(&request, problem);
}
