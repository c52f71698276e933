
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    



select documents
from "y"."stats"."waterfall"
where documents is null



  
  
      
    ) dbt_internal_test