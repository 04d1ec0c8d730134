"""Which resources hold what nobody can make again, by type token: what is lost when one is deleted or replaced.

Sources: the providers' own documentation of what deleting a resource does (AWS service guides, the Kubernetes reference
on reclaim policies and cascading deletion). A type is in here if its content is not in the program that declares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["HOLDS_DATA", "data_of"]

_BUCKET: Final = "all objects in the bucket"
_TABLE: Final = "all items of the table"
_DATABASE: Final = "the databases and all rows in them"
_FILES: Final = "all files of the file system"
_QUEUE: Final = "the messages that wait in the queue"
_IMAGES: Final = "all images of the repository"
_LOGS: Final = "the log events that were written so far"
_SECRET: Final = "the secret values and their versions"
_KEY: Final = "the key, and with it whatever is encrypted under it"
_STREAM: Final = "the records that were not read yet"

#: Type token → what is lost, in words. The version in a Kubernetes token is left out.
HOLDS_DATA: Final[Mapping[str, str]] = {
    "flowinfra:index:Token": "the production token that clients show",
    # AWS
    "aws:s3/bucket:Bucket": _BUCKET,
    "aws:s3/bucketV2:BucketV2": _BUCKET,
    "aws:s3/directoryBucket:DirectoryBucket": _BUCKET,
    "aws:s3/bucketObject:BucketObject": "the object",
    "aws:s3/bucketObjectv2:BucketObjectv2": "the object",
    "aws:s3tables/table:Table": "all rows of the table",
    "aws:dynamodb/table:Table": _TABLE,
    "aws:dynamodb/globalTable:GlobalTable": _TABLE,
    "aws:dynamodb/tableReplica:TableReplica": "the replica's items",
    "aws:rds/instance:Instance": _DATABASE,
    "aws:rds/cluster:Cluster": _DATABASE,
    "aws:rds/globalCluster:GlobalCluster": _DATABASE,
    "aws:docdb/cluster:Cluster": _DATABASE,
    "aws:neptune/cluster:Cluster": _DATABASE,
    "aws:redshift/cluster:Cluster": _DATABASE,
    "aws:redshiftserverless/namespace:Namespace": _DATABASE,
    "aws:timestreamwrite/table:Table": "all records of the table",
    "aws:elasticache/cluster:Cluster": "what is in the cache",
    "aws:elasticache/replicationGroup:ReplicationGroup": "what is in the cache",
    "aws:memorydb/cluster:Cluster": _DATABASE,
    "aws:opensearch/domain:Domain": "all indices of the domain",
    "aws:elasticsearch/domain:Domain": "all indices of the domain",
    "aws:efs/fileSystem:FileSystem": _FILES,
    "aws:fsx/lustreFileSystem:LustreFileSystem": _FILES,
    "aws:fsx/ontapFileSystem:OntapFileSystem": _FILES,
    "aws:fsx/openZfsFileSystem:OpenZfsFileSystem": _FILES,
    "aws:fsx/windowsFileSystem:WindowsFileSystem": _FILES,
    "aws:ebs/volume:Volume": "everything on the volume",
    "aws:ebs/snapshot:Snapshot": "the snapshot",
    "aws:ecr/repository:Repository": _IMAGES,
    "aws:ecrpublic/repository:Repository": _IMAGES,
    "aws:cloudwatch/logGroup:LogGroup": _LOGS,
    "aws:sqs/queue:Queue": _QUEUE,
    "aws:kinesis/stream:Stream": _STREAM,
    "aws:msk/cluster:Cluster": "all topics and their records",
    "aws:secretsmanager/secret:Secret": _SECRET,
    "aws:secretsmanager/secretVersion:SecretVersion": "this version of the secret",
    "aws:ssm/parameter:Parameter": "the parameter's value and its versions",
    "aws:kms/key:Key": _KEY,
    "aws:kms/replicaKey:ReplicaKey": _KEY,
    "aws:glacier/vault:Vault": "all archives of the vault",
    "aws:backup/vault:Vault": "all recovery points of the vault",
    "aws:cognito/userPool:UserPool": "all users of the pool",
    "aws:athena/database:Database": "the tables that are defined in it",
    "aws:glue/catalogDatabase:CatalogDatabase": "the tables that are defined in it",
    # Google Cloud and Azure
    "gcp:storage/bucket:Bucket": _BUCKET,
    "gcp:sql/databaseInstance:DatabaseInstance": _DATABASE,
    "gcp:bigquery/dataset:Dataset": "all tables of the dataset",
    "gcp:bigquery/table:Table": "all rows of the table",
    "gcp:pubsub/subscription:Subscription": _QUEUE,
    "gcp:secretmanager/secret:Secret": _SECRET,
    "azure-native:storage:StorageAccount": "all blobs, files, queues and tables of the account",
    "azure-native:storage:BlobContainer": "all blobs of the container",
    "azure-native:keyvault:Vault": "all keys, secrets and certificates of the vault",
    # Kubernetes
    "kubernetes:core:PersistentVolumeClaim": "everything on the volume, unless its class retains it",
    "kubernetes:core:PersistentVolume": "everything on the volume, unless it is retained",
    "kubernetes:core:Secret": "the secret values",
    "kubernetes:core:Namespace": "every object in the namespace",
    "kubernetes:apps:StatefulSet": "the identity of its pods, and their volumes where its policy deletes them",
    "kubernetes:apiextensions.k8s.io:CustomResourceDefinition": "every object of this kind in the cluster",
    # what makes values instead of keeping them; the value is lost all the same
    "random:index/randomPassword:RandomPassword": "the password",
    "random:index/randomBytes:RandomBytes": "the bytes",
    "tls:index/privateKey:PrivateKey": "the private key",
    "pulumi:index:Stash": "the value that it keeps",
}


def data_of(type_token: str) -> str:
    """What is lost when a resource of this type is deleted or replaced; empty if nothing is, or it is not known."""
    if type_token.startswith("kubernetes:"):
        package, module, name = [*type_token.split(":", 2), "", ""][:3]
        group, _, _version = module.partition("/")
        return HOLDS_DATA.get(f"{package}:{group}:{name}", "")
    return HOLDS_DATA.get(type_token, "")
