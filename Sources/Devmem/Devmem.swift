// SPDX-License-Identifier: Apache-2.0

// What comes with `import Devmem`: the pool and its handles, and of the layers below those types
// that this module's own interface speaks of.
@_exported public import class DevmemGenpool.GenPool
@_exported public import DevmemPagePool
@_exported public import struct DevmemSystem.DMABufAccess
@_exported public import struct DevmemSystem.Errno
@_exported public import struct DevmemSystem.FileIdentity
@_exported public import class DevmemSystem.MemoryFile
@_exported public import struct DevmemSystem.NUMANode
@_exported public import struct DevmemSystem.OwnedFileDescriptor
@_exported public import enum DevmemSystem.PageSize
@_exported public import class DevmemSystem.UnixSocket
